import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Storage } from '../../../src/block/driver.ts';
import { parseOptions } from '../../../src/block/options.ts';
import { createHttpProtocol, type HttpEnvironment } from '../../../src/block/protocol/http/index.ts';
import type { HttpStorage } from '../../../src/block/protocol/http/storage.ts';
import { registerReadOnlySuite } from '../../conformance/storage-reads.ts';
import { sameBytes } from '../../support/check.ts';
import { startHttpServer, type Habit, type TestServer } from '../../support/http-server.ts';
import { patternedBytes } from '../../support/random.ts';

const CHUNK = 16384;
const SIZE = CHUNK * 100 + 100;
const bytes = patternedBytes(1, 0, SIZE).slice();

let server: TestServer;
let files = 0;
/** Pauses that were asked for instead of made. */
let pauses: number[] = [];

const environment: HttpEnvironment = {
  fetch: (url, init) => fetch(url, init),
  now: () => Date.UTC(2024, 5, 1),
  wait: (ms) => {
    pauses.push(ms);
    return Promise.resolve();
  },
  random: () => 1,
};
const driver = createHttpProtocol('http', environment);

beforeAll(async () => {
  server = await startHttpServer();
});

afterAll(async () => {
  await server?.close();
});

async function openUrl(url: string, options: Record<string, unknown> = {}): Promise<HttpStorage> {
  const parsed = parseOptions(driver.options, { url, chunk_size: CHUNK, readahead: 0, ...options }, 'http');
  return (await driver.open(parsed, { readOnly: true })) as HttpStorage;
}

/** Serves the bytes with a habit and opens them. */
async function openWith(habit: Habit = {}, options: Record<string, unknown> = {}) {
  const name = `disk-${files++}.img`;
  pauses = [];
  const url = server.publish(name, bytes, habit);
  return { name, url, storage: await openUrl(url, options) };
}

const failure = (habit: Habit, options: Record<string, unknown> = {}) => expect(openWith(habit, options)).rejects;

async function readAt(storage: Storage, offset: number, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length).fill(0xee);
  await storage.read(offset, buffer);
  return buffer;
}

const ranges = (name: string) => server.requestsOf(name).map(({ range }) => range);
const range = (firstChunk: number, endChunk: number) => `bytes=${firstChunk * CHUNK}-${endChunk * CHUNK - 1}`;

describe('http', () => {
  registerReadOnlySuite(
    {
      driver,
      synchronous: false,
      chunkBytes: CHUNK,
      provide: async (content) => ({
        url: server.publish(`suite-${files++}.img`, content),
        chunk_size: CHUNK,
        cache_size: CHUNK * 3,
      }),
    },
    test,
  );

  test('opening costs one request, which brings the first chunk and the identity', async () => {
    const { name, storage } = await openWith();
    expect(storage.identity()).toEqual({ size: SIZE, etag: '"version-1"', lastModifiedMs: Date.UTC(2024, 0, 1) });
    expect(await readAt(storage, 0, CHUNK)).toEqual(bytes.slice(0, CHUNK));
    expect(ranges(name)).toEqual([range(0, 1)]);
    expect(storage.statistics()).toEqual({ requests: 1, bytes: CHUNK, retries: 0, keptBytes: 0 });
  });

  test('a cached read does not wait', async () => {
    const { storage } = await openWith();
    expect(storage.read(100, new Uint8Array(500))).toBeUndefined();
  });

  test('adjacent misses of one read, and of reads made together, are one request', async () => {
    const { name, storage } = await openWith();
    await readAt(storage, CHUNK * 2 + 5, CHUNK * 3);
    await Promise.all([
      readAt(storage, CHUNK * 21, 10),
      readAt(storage, CHUNK * 20, 10),
      readAt(storage, CHUNK * 22, CHUNK),
    ]);
    expect(ranges(name).slice(1)).toEqual([range(2, 6), range(20, 23)]);
  });

  test('a chunk that is on its way is not asked for again, and what is cached is left out', async () => {
    const { name, storage } = await openWith();
    await readAt(storage, CHUNK * 5, 1);
    const first = readAt(storage, CHUNK * 8, 1);
    await Promise.resolve();
    await Promise.all([first, readAt(storage, CHUNK * 4, CHUNK * 5)]);
    expect(ranges(name).slice(1)).toEqual([range(5, 6), range(8, 9), range(4, 5), range(6, 8)]);
  });

  test('six requests run at a time, and no more', async () => {
    const { name, storage } = await openWith({ delayMs: 30, after: 1 });
    await Promise.all(Array.from({ length: 20 }, (_, index) => readAt(storage, CHUNK * (2 + index * 3), 10)));
    expect(server.mostInFlight(name)).toBe(6);
    expect(server.requestsOf(name)).toHaveLength(21);
  });

  test('sequential reading fetches ahead in large requests, random reading does not', async () => {
    const { name, storage } = await openWith({}, { readahead: CHUNK * 20 });
    for (let offset = 0; offset < CHUNK * 60; offset += 4096) await readAt(storage, offset, 4096);
    expect(server.requestsOf(name).length).toBeLessThan(12);
    const other = await openWith({}, { readahead: CHUNK * 20 });
    for (const chunk of [50, 10, 30, 70]) await readAt(other.storage, chunk * CHUNK, 512);
    expect(ranges(other.name).slice(1)).toEqual([50, 10, 30, 70].map((chunk) => range(chunk, chunk + 1)));
  });

  test('the cache is bounded', async () => {
    const { name, storage } = await openWith({}, { cache_size: CHUNK * 4 });
    for (const chunk of [10, 20, 30, 40, 10, 20, 30, 40, 50, 10]) await readAt(storage, chunk * CHUNK, 1);
    expect(ranges(name).slice(1)).toEqual([10, 20, 30, 40, 50, 10].map((chunk) => range(chunk, chunk + 1)));
  });

  test('a server without ranges: a small file is taken whole, once', async () => {
    const { name, storage } = await openWith({ ignoreRanges: true });
    sameBytes(await readAt(storage, 0, SIZE), bytes, 'content');
    expect(server.requestsOf(name)).toHaveLength(1);
    expect(storage.identity().size).toBe(SIZE);
  });

  test('a server without ranges: a large file is refused with what to do', async () => {
    const name = `large-${files++}.img`;
    const url = server.publish(name, new Uint8Array(64 * 2 ** 20 + 1), { ignoreRanges: true });
    await expect(openUrl(url)).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining('ignores ranges') as string,
    });
    server.setHabit(name, { ignoreRanges: true, noLength: true });
    await expect(openUrl(url)).rejects.toMatchObject({ kind: 'unsupported' });
  });

  test('answers that are no file', async () => {
    await expect(openUrl(`${server.origin}/file/nothing`)).rejects.toMatchObject({ kind: 'not-found' });
    await failure({ status: 403 }).toMatchObject({ kind: 'permission', context: { detail: { status: 403 } } });
    await failure({ status: 401 }).toMatchObject({ kind: 'permission' });
    await failure({ status: 418 }).toMatchObject({ kind: 'io', message: expect.stringContaining('418') as string });
    expect(pauses).toEqual([]);
  });

  test('416 for a range that lies in the file', async () => {
    await failure({ rangeNotSatisfiable: true }).toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining(`${SIZE} bytes`) as string,
    });
    const { storage } = await openWith({ rangeNotSatisfiable: true, after: 1 });
    await expect(readAt(storage, CHUNK * 5, 1)).rejects.toMatchObject({ kind: 'unsupported' });
  });

  test('a server that compresses', async () => {
    const compressed = { kind: 'unsupported', message: expect.stringContaining('gzip') as string };
    await failure({ gzip: true }).toMatchObject(compressed);
    await failure({ gzip: true, ignoreRanges: true }).toMatchObject(compressed);
    const { storage } = await openWith({ gzip: true, after: 1 });
    await expect(readAt(storage, CHUNK * 5, 1)).rejects.toMatchObject(compressed);
  });

  test('a Content-Range that is not what was asked for', async () => {
    for (const contentRange of [
      `bytes 1-${CHUNK}/${SIZE}`,
      `bytes 0-99/${SIZE}`,
      'bytes 0-5/3',
      'nonsense',
      'bytes 0-99999999999999999999/*',
    ]) {
      await failure({ contentRange }).toMatchObject({ kind: 'unsupported' });
    }
    const { storage } = await openWith({ contentRange: `bytes 0-${CHUNK - 1}/${SIZE}`, after: 1 });
    await expect(readAt(storage, CHUNK * 5, 1)).rejects.toMatchObject({
      kind: 'unsupported',
      context: { offset: CHUNK * 5 },
    });
  });

  test('a hidden size is asked for with HEAD', async () => {
    for (const contentRange of [false, `bytes 0-${CHUNK - 1}/*`] as const) {
      const { name, storage } = await openWith({ contentRange, times: 1 });
      expect(storage.getLength()).toBe(SIZE);
      expect(server.requestsOf(name).map(({ method }) => method)).toEqual(['GET', 'HEAD']);
    }
    await failure({ contentRange: false, noLength: true }).toMatchObject({ kind: 'unsupported' });
  });

  test('a file that changed is noticed on every answer', async () => {
    const { name, storage } = await openWith();
    server.publish(name, patternedBytes(2, 0, SIZE));
    await expect(readAt(storage, CHUNK * 3, 1)).rejects.toMatchObject({
      kind: 'base-changed',
      context: { detail: { opened: { etag: '"version-1"' }, found: { etag: '"version-2"' } } },
    });
    // What is cached is still of the version that was opened.
    expect(await readAt(storage, 0, CHUNK)).toEqual(bytes.slice(0, CHUNK));
  });

  test('a change is seen by the size or the time alone, and a weak entity tag is none', async () => {
    const bySize = await openWith({ etag: false, lastModified: false });
    server.publish(bySize.name, bytes.slice(0, SIZE - 1));
    await expect(readAt(bySize.storage, CHUNK * 3, 1)).rejects.toMatchObject({ kind: 'base-changed' });

    const byTime = await openWith({ etag: 'W/"a"' });
    expect(byTime.storage.identity().etag).toBeUndefined();
    server.publish(byTime.name, patternedBytes(2, 0, SIZE));
    await expect(readAt(byTime.storage, CHUNK * 3, 1)).rejects.toMatchObject({ kind: 'base-changed' });

    const weak = await openWith({ etag: 'W/"a"', lastModified: false });
    server.setHabit(weak.name, { etag: 'W/"b"', lastModified: false });
    expect(await readAt(weak.storage, CHUNK * 3, 10)).toEqual(bytes.slice(CHUNK * 3, CHUNK * 3 + 10));
  });

  test('a file that became shorter or loses its ranges is not mixed in', async () => {
    const cut = await openWith();
    server.publish(cut.name, bytes.slice(0, CHUNK * 2));
    await expect(readAt(cut.storage, CHUNK * 50, 1)).rejects.toMatchObject({ kind: 'base-changed' });
    const whole = await openWith({ ignoreRanges: true, after: 1 });
    await expect(readAt(whole.storage, CHUNK * 50, 1)).rejects.toMatchObject({ kind: 'io' });
  });

  test('failures that may pass are tried again, with growing pauses', async () => {
    const { name, storage } = await openWith({ status: 503, times: 3 });
    expect(pauses).toEqual([250, 500, 1000]);
    server.setHabit(name, { drop: true, times: 2 });
    expect(await readAt(storage, CHUNK * 3, 10)).toEqual(bytes.slice(CHUNK * 3, CHUNK * 3 + 10));
    server.setHabit(name, { dieAfter: 1000, times: 1 });
    expect(await readAt(storage, CHUNK * 6, 10)).toEqual(bytes.slice(CHUNK * 6, CHUNK * 6 + 10));
    server.setHabit(name, { shortBy: 5, times: 1 });
    expect(await readAt(storage, CHUNK * 9, 10)).toEqual(bytes.slice(CHUNK * 9, CHUNK * 9 + 10));
    expect(storage.statistics().retries).toBe(7);
  });

  test('what fails every time is an io error that says what happened', async () => {
    await failure({ status: 500 }, { retries: 2 }).toMatchObject({
      kind: 'io',
      message: expect.stringContaining('500') as string,
    });
    expect(pauses).toEqual([250, 500]);
    const { name, storage } = await openWith();
    for (const [habit, words] of [
      [{ drop: true }, 'connection died'],
      [{ dieAfter: 1000 }, `of ${CHUNK} bytes`],
      [{ shortBy: 5 }, `${CHUNK - 5} of ${CHUNK} bytes`],
    ] as const) {
      server.setHabit(name, habit);
      await expect(readAt(storage, CHUNK * 3, 10)).rejects.toMatchObject({
        kind: 'io',
        message: expect.stringContaining(words) as string,
        context: { offset: CHUNK * 3, length: CHUNK },
      });
    }
    server.setHabit(name, {});
    expect(await readAt(storage, CHUNK * 3, 10)).toEqual(bytes.slice(CHUNK * 3, CHUNK * 3 + 10));
  });

  test('Retry-After is honoured, as seconds and as a date, within reason', async () => {
    await openWith({ status: 429, retryAfter: '7', times: 1 });
    expect(pauses).toEqual([7000]);
    await openWith({ status: 503, retryAfter: new Date(Date.UTC(2024, 5, 1, 0, 0, 20)).toUTCString(), times: 1 });
    expect(pauses).toEqual([20_000]);
    await failure({ status: 503, retryAfter: '3600', times: 1 }).toMatchObject({ kind: 'io' });
  });

  test('a silent server is given up after the timeout', async () => {
    const { name, storage } = await openWith({}, { timeout: 1, retries: 0 });
    server.setHabit(name, { delayMs: 5000 });
    await expect(readAt(storage, CHUNK * 3, 1)).rejects.toMatchObject({
      kind: 'io',
      message: expect.stringContaining('1 seconds') as string,
    });
    server.setHabit(name, {});
  });

  test('closing ends what is on its way', async () => {
    const { name, storage } = await openWith();
    server.setHabit(name, { delayMs: 20_000 });
    const reads = Promise.allSettled([readAt(storage, CHUNK * 3, 1), readAt(storage, CHUNK * 40, 1)]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await storage.close();
    for (const read of await reads) expect(read).toMatchObject({ status: 'rejected', reason: { kind: 'closed' } });
  });

  test('a failed read leaves the buffer alone afterwards', async () => {
    const { name, storage } = await openWith({}, { retries: 0 });
    server.setHabit(name, { status: 500, times: 1 });
    await readAt(storage, CHUNK * 10, 1).catch(() => undefined);
    server.setHabit(name, { drop: true, times: 1, after: 1 });
    const buffer = new Uint8Array(CHUNK * 80);
    await expect(Promise.resolve(storage.read(CHUNK * 4, buffer))).rejects.toMatchObject({ kind: 'io' });
    buffer.fill(0x55);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(buffer.every((byte) => byte === 0x55)).toBe(true);
  });

  test('options that make no sense are refused', async () => {
    for (const options of [
      { chunk_size: 5000 },
      { chunk_size: 2 ** 30 },
      { headers: { Range: 'bytes=0-1' } },
      { headers: { a: 1 } },
      { url: 'ftp://host/x' },
      { url: '/relative' },
      { url: 'http://name:secret@host/x' },
    ]) {
      await expect(openUrl('http://host/x', options)).rejects.toMatchObject({ kind: 'invalid' });
    }
    const opened = driver.open(parseOptions(driver.options, { url: 'http://host/x' }, 'http'), { readOnly: false });
    await expect(opened).rejects.toMatchObject({ kind: 'permission' });
  });

  test('a server that is not there is an io error; keeping needs a browser', async () => {
    pauses = [];
    await expect(openUrl('http://127.0.0.1:1/x')).rejects.toMatchObject({
      kind: 'io',
      context: { detail: { unreachable: true } },
    });
    expect(pauses).toHaveLength(4);
    await expect(openUrl('http://127.0.0.1:1/x', { keep: 'kept' })).rejects.toMatchObject({ kind: 'unsupported' });
  });

  test('names show no secrets, and references keep headers on their own server only', () => {
    const options = parseOptions(
      driver.options,
      { url: 'http://host/a/b.qcow2?token=secret#x', headers: { Authorization: 'secret' } },
      'http',
    );
    expect(driver.filename(options)).toBe('http://host/a/b.qcow2');
    expect(driver.resolve!(options, 'base.img')).toEqual({
      driver: 'http',
      url: 'http://host/a/base.img',
      headers: { Authorization: 'secret' },
      credentials: 'same-origin',
    });
    expect(driver.resolve!(options, 'https://other/base.img')).toEqual({
      driver: 'https',
      url: 'https://other/base.img',
    });
    expect(driver.parseFilename!('http://host/x')).toEqual({ driver: 'http', url: 'http://host/x' });
    expect(driver.parseFilename!('https://host/x')).toBeUndefined();
  });
});

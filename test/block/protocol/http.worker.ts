// The cases of the http protocol in a browser: another site's server, and chunks that are kept for the next visit.
import { parseOptions } from '../../../src/block/options.ts';
import { createHttpProtocol, httpProtocol, type HttpEnvironment } from '../../../src/block/protocol/http/index.ts';
import type { HttpStorage } from '../../../src/block/protocol/http/storage.ts';
import { readBytes } from '../../conformance/storage-fixture.ts';
import { registerReadOnlySuite } from '../../conformance/storage-reads.ts';
import { check, failsWith, same, sameBytes } from '../../support/check.ts';
import type { Habit } from '../../support/http-server.ts';
import { patternedBytes } from '../../support/random.ts';
import { caseList, serveCases } from '../../support/worker-cases.ts';

const CHUNK = 16384;
const SIZE = CHUNK * 20 + 100;
const server = `http://127.0.0.1:${new URLSearchParams(globalThis.location.search).get('port')}`;
const bytes = patternedBytes(1, 0, SIZE).slice();
const impatient: HttpEnvironment = {
  fetch: (url, init) => fetch(url, init),
  now: () => Date.now(),
  wait: () => Promise.resolve(),
  random: () => 0,
};
const driver = createHttpProtocol('http', impatient);
const { cases, register } = caseList();
let files = 0;

async function publish(name: string, content: Uint8Array<ArrayBuffer>, habit: Habit = {}): Promise<string> {
  await fetch(`${server}/file/${name}`, { method: 'PUT', body: content });
  await setHabit(name, habit);
  return `${server}/file/${name}`;
}

async function setHabit(name: string, habit: Habit): Promise<void> {
  await fetch(`${server}/habit/${name}`, { method: 'PUT', body: JSON.stringify(habit) });
}

async function open(url: string, options: Record<string, unknown> = {}): Promise<HttpStorage> {
  const parsed = parseOptions(driver.options, { url, chunk_size: CHUNK, readahead: 0, ...options }, 'http');
  return (await driver.open(parsed, { readOnly: true })) as HttpStorage;
}

registerReadOnlySuite(
  {
    driver: httpProtocol,
    synchronous: false,
    chunkBytes: CHUNK,
    provide: async (content) => ({
      url: await publish(`suite-${files++}`, content),
      chunk_size: CHUNK,
      cache_size: CHUNK * 3,
    }),
  },
  register,
);

register('another site that shows no Content-Range is asked for the size', async () => {
  const storage = await open(await publish('hidden', bytes, { expose: '' }));
  same(storage.getLength(), SIZE, 'length');
  same(storage.identity().etag, undefined, 'the tag is hidden too');
  sameBytes(await readBytes(storage, CHUNK * 3, CHUNK * 2), bytes.slice(CHUNK * 3, CHUNK * 5), 'content');
  same(storage.statistics().requests, 3, 'requests');
  await storage.close();
});

register('another site that does not allow us is an error with a hint', async () => {
  const url = await publish('forbidden', bytes, { noCors: true });
  const error = await failsWith('io', () => open(url), 'open');
  check(error.message.includes('Access-Control-Allow-Origin'), error.message);
});

register('bodies that compress or end early in a browser', async () => {
  const url = await publish('odd', bytes, { gzip: true });
  await failsWith('unsupported', () => open(url), 'compressed');
  await setHabit('odd', {});
  const storage = await open(url, { retries: 1 });
  for (const [number, habit] of [{ dieAfter: 1000 }, { shortBy: 5 }, { drop: true }].entries()) {
    const at = CHUNK * (5 + number);
    await setHabit('odd', habit);
    await failsWith('io', () => readBytes(storage, at, 10), JSON.stringify(habit));
    await setHabit('odd', { ...habit, times: 1 });
    sameBytes(await readBytes(storage, at, 10), bytes.slice(at, at + 10), 'after a retry');
    await setHabit('odd', {});
  }
  await storage.close();
});

register('what was fetched is kept, and a second visit asks for nothing but the identity', async () => {
  const url = await publish('kept', bytes);
  const first = await open(url, { keep: 'kept' });
  sameBytes(await readBytes(first, 0, SIZE), bytes, 'first visit');
  await first.close();
  const second = await open(url, { keep: 'kept' });
  sameBytes(await readBytes(second, 0, SIZE), bytes, 'second visit');
  same(second.statistics().requests, 1, 'requests');
  check(second.statistics().keptBytes >= SIZE - CHUNK, 'the rest was kept');
  await second.close();
});

register('offline the kept chunks are there, and what is missing is an error', async () => {
  const url = await publish('offline', bytes);
  const first = await open(url, { keep: 'kept' });
  await readBytes(first, CHUNK * 2, CHUNK * 5);
  await first.close();
  await setHabit('offline', { drop: true });
  const second = await open(url, { keep: 'kept' });
  same(second.getLength(), SIZE, 'length');
  same(second.identity().etag, '"version-1"', 'identity');
  sameBytes(await readBytes(second, CHUNK * 2, CHUNK * 5), bytes.slice(CHUNK * 2, CHUNK * 7), 'kept');
  await failsWith('io', () => readBytes(second, CHUNK * 8, 1), 'missing');
  await setHabit('offline', {});
  sameBytes(await readBytes(second, CHUNK * 8, 10), bytes.slice(CHUNK * 8, CHUNK * 8 + 10), 'back online');
  await second.close();
  await failsWith(
    'io',
    async () => open(await publish('never-seen', bytes, { drop: true }), { keep: 'kept' }),
    'nothing kept',
  );
});

register('kept chunks of another version are dropped, and never mixed in', async () => {
  const url = await publish('changing', bytes);
  const first = await open(url, { keep: 'kept' });
  await readBytes(first, 0, SIZE);
  await first.close();
  const newer = patternedBytes(2, 0, SIZE).slice();
  await publish('changing', newer);
  const second = await open(url, { keep: 'kept' });
  sameBytes(await readBytes(second, 0, SIZE), newer, 'new version');
  await second.close();
  // Offline with the old version kept, then a server with a newer one: its chunks are refused.
  const partly = await publish('partly', bytes);
  const third = await open(partly, { keep: 'kept' });
  await readBytes(third, 0, 1);
  await third.close();
  await publish('partly', newer, { drop: true });
  const fourth = await open(partly, { keep: 'kept' });
  await setHabit('partly', {});
  sameBytes(await readBytes(fourth, 0, 10), bytes.slice(0, 10), 'kept');
  await failsWith('base-changed', () => readBytes(fourth, CHUNK * 9, 1), 'a chunk of the newer version');
  await fourth.close();
});

register('a version that cannot be recognised is not kept', async () => {
  const url = await publish('anonymous', bytes, { etag: false, lastModified: false });
  for (let visit = 0; visit < 2; visit++) {
    const storage = await open(url, { keep: 'kept' });
    await readBytes(storage, 0, SIZE);
    same(storage.statistics().keptBytes, 0, 'kept bytes');
    await storage.close();
  }
});

register('two users of one URL work side by side, one of them without keeping', async () => {
  const url = await publish('shared', bytes);
  const first = await open(url, { keep: 'kept' });
  const second = await open(url, { keep: 'kept' });
  sameBytes(await readBytes(second, 0, SIZE), bytes, 'second');
  sameBytes(await readBytes(first, 0, SIZE), bytes, 'first');
  await second.close();
  await first.close();
});

register('a damaged index is not believed', async () => {
  const url = await publish('damaged', bytes);
  const damage: readonly ((index: FileSystemSyncAccessHandle, chunks: FileSystemSyncAccessHandle) => void)[] = [
    (index) => index.write(new Uint8Array([1]), { at: 0 }),
    (index) => index.write(new Uint8Array([255, 255, 255, 255]), { at: 8 }),
    (index) => index.write(new TextEncoder().encode('{"uRl":'), { at: 12 }),
    (index) => index.write(new TextEncoder().encode('[['), { at: 12 }),
    (index) => index.truncate(4096),
    (index) => index.truncate(100),
    (index) => index.truncate(0),
    (index) => index.write(new Uint8Array([255, 255, 255, 127]), { at: 4096 + 4 }),
    (index) => index.write(new Uint8Array([2, 0, 0, 0, 2, 0, 0, 0]), { at: 4096 + 4 }),
    (_index, chunks) => chunks.truncate(10),
  ];
  for (const [number, harm] of damage.entries()) {
    const folder = `damage-${number}`;
    const first = await open(url, { keep: folder });
    await readBytes(first, 0, SIZE);
    await first.close();
    await harmFiles(folder, harm);
    const second = await open(url, { keep: folder });
    sameBytes(await readBytes(second, 0, SIZE), bytes, `content after damage ${number}`);
    check(second.statistics().requests > 1, `damage ${number} was noticed`);
    await second.close();
  }
});

async function harmFiles(
  folder: string,
  harm: (index: FileSystemSyncAccessHandle, chunks: FileSystemSyncAccessHandle) => void,
): Promise<void> {
  const directory = await (await navigator.storage.getDirectory()).getDirectoryHandle(folder);
  const handles = new Map<string, FileSystemSyncAccessHandle>();
  for await (const entry of directory.values()) {
    if (entry.kind === 'file') handles.set(entry.name.split('.')[1]!, await entry.createSyncAccessHandle());
  }
  harm(handles.get('index')!, handles.get('chunks')!);
  for (const handle of handles.values()) handle.close();
}

register('a full quota ends keeping, not reading', async () => {
  const large = patternedBytes(3, 0, 8 * 2 ** 20).slice();
  const url = await publish('large', large);
  const storage = await open(url, { keep: 'kept', chunk_size: 65536 });
  sameBytes(await readBytes(storage, 0, large.length), large, 'content');
  await storage.close();
  const again = await open(url, { keep: 'kept', chunk_size: 65536 });
  sameBytes(await readBytes(again, 0, large.length), large, 'second visit');
  const { keptBytes } = again.statistics();
  check(keptBytes > 0 && keptBytes < large.length - 65536, `${keptBytes} bytes were kept`);
  await again.close();
});

serveCases(cases);

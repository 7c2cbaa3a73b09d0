import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Spindle } from '../../src/client/index.ts';
import { failsWith } from '../support/check.ts';

const MIB = 1024 * 1024;
/** A disk that takes a minute for each request. */
const slow = { driver: 'null-co', size: MIB, 'latency-ns': 60e9 } as const;

let spindle: Spindle;
beforeAll(async () => {
  spindle = await connect();
});
afterAll(() => spindle.close());

test('a request is given up, and its buffer is not touched again by anyone who can see it', async () => {
  await using disk = await spindle.open({ driver: 'raw', file: { driver: 'memory', size: MIB } });
  const controller = new AbortController();
  const given = disk.read(0, 4096, { signal: controller.signal });
  const kept = disk.read(0, 4096);
  controller.abort(new Error('no longer wanted'));
  const error = await failsWith('aborted', () => given, 'the read');
  expect((error.cause as Error).message).toBe('no longer wanted');
  expect((await kept).length).toBe(4096);
  await failsWith(
    'aborted',
    () => disk.read(0, 512, { signal: controller.signal }),
    'a read with a signal that has fired',
  );
  await failsWith('aborted', () => disk.write(0, new Uint8Array(9), { signal: controller.signal }), 'such a write');
  expect(await disk.read(0, 9)).toEqual(new Uint8Array(9));
});

test('a probe and an open that hang are given up at once', async () => {
  const signal = AbortSignal.timeout(50);
  const startMs = performance.now();
  await failsWith('aborted', () => spindle.probe(slow, { signal }), 'the probe');
  const file = { driver: 'memory', name: 'calls.qcow2' } as const;
  await spindle.create({ driver: 'qcow2', file, size: MIB, backing_file: 'x', backing_fmt: 'raw' });
  const controller = new AbortController();
  const allow = () => {
    controller.abort();
    return new Promise<boolean>(() => undefined);
  };
  const opening = () => spindle.open({ driver: 'qcow2', file }, { allow, signal: controller.signal });
  await failsWith('aborted', opening, 'the open');
  expect(performance.now() - startMs).toBeLessThan(20_000);
});

test('a disk that opens after it was given up is closed again', async () => {
  const file = { driver: 'memory', name: 'late.qcow2' } as const;
  await spindle.create({ driver: 'qcow2', file, size: MIB, backing_file: 'x', backing_fmt: 'raw' });
  let answer: (allowed: { driver: 'memory'; size: number }) => void = () => undefined;
  const controller = new AbortController();
  const allow = () => {
    controller.abort();
    return new Promise<{ driver: 'memory'; size: number }>((resolve) => {
      answer = resolve;
    });
  };
  const opening = () => spindle.open({ driver: 'qcow2', file }, { allow, signal: controller.signal });
  await failsWith('aborted', opening, 'the open');
  answer({ driver: 'memory', size: MIB });
  // Graph changes are made one after the other: this one waits for the end of the late one, and finds the file free.
  await expect.poll(() => spindle.delete(file).then(() => 'deleted', String), { timeout: 10_000 }).toBe('deleted');
});

test('long calls report progress and stop when they are told to', async () => {
  const file = { driver: 'memory', name: 'long.qcow2' } as const;
  await spindle.create({ driver: 'qcow2', file, size: 2 ** 36, cluster_size: 512, preallocation: 'off' });
  await using disk = await spindle.open({ driver: 'qcow2', file });
  for (let index = 0; index < 200; index++)
    await disk.write(index * 2 ** 20, new Uint8Array(2 ** 17).fill(1), { transfer: true });
  const seen: (readonly [number, number])[] = [];
  const onProgress = (done: number, total: number): void => void seen.push([done, total]);
  const extents = await disk.map({ length: 2 ** 28, onProgress });
  expect(extents.length).toBeGreaterThanOrEqual(400);
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.every(([done, total]) => done <= total && total === 2 ** 28)).toBe(true);

  const controller = new AbortController();
  const mapping = disk.map({ signal: controller.signal });
  controller.abort();
  await failsWith('aborted', () => mapping, 'the map');
  const checking = new AbortController();
  const check = disk.check({ signal: checking.signal });
  checking.abort();
  await failsWith('aborted', () => check, 'the check');
  expect(await disk.check()).toMatchObject({ corruptions: 0 });
});

test('a new image that was given up leaves no file behind', async () => {
  const file = { driver: 'opfs', path: 'client-test-calls/given-up.qcow2' } as const;
  const controller = new AbortController();
  const seen: number[] = [];
  const onProgress = (done: number): void => {
    seen.push(done);
    controller.abort();
  };
  const options = { driver: 'qcow2', file, size: 2 ** 36, preallocation: 'metadata', cluster_size: 4096 } as const;
  const creating = () => spindle.create(options, { signal: controller.signal, onProgress });
  await failsWith('aborted', creating, 'the creation');
  expect(seen.length).toBeGreaterThan(0);
  expect(await spindle.files.list('client-test-calls')).toEqual([]);
});

test('an export is given up before it has begun', async () => {
  await using disk = await spindle.open({ driver: 'raw', file: { driver: 'memory', size: MIB } });
  const controller = new AbortController();
  const exporting = disk.export({ signal: controller.signal });
  controller.abort();
  const outcome = await exporting
    .then(
      (stream) => stream.getReader().read(),
      (error: unknown) => error,
    )
    .catch((error: unknown) => error);
  expect(outcome).toMatchObject({ kind: 'aborted' });
  await disk.write(0, new Uint8Array(1));
});

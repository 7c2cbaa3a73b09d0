import { expect, test } from 'vitest';
import { BlockError, connect, type Spindle } from '../../src/client/index.ts';
import { PROTOCOL_VERSION } from '../../src/worker/wire.ts';
import { failsWith } from '../support/check.ts';

const slow = { driver: 'null-co', size: 1048576, 'latency-ns': 60e9 } as const;
const file = { driver: 'opfs', path: 'client-test-death.img' } as const;

const startWorker = (): Worker => new Worker(new URL('../../src/worker/entry.ts', import.meta.url), { type: 'module' });

const scriptOf = (text: string): string => URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));

test('a worker that is terminated rejects all that waits for it, and all that comes later', async () => {
  const worker = startWorker();
  const spindle = await connect({ worker });
  const disk = await spindle.open({ driver: 'raw', file: slow });
  const stored = await spindle.open({ driver: 'null-co', size: 2 ** 26 });
  const stream = (await stored.export({ format: 'raw' })).getReader();
  await stream.read();
  const waiting = [
    disk.read(0, 512),
    disk.write(0, new Uint8Array(512)),
    disk.flush(),
    spindle.probe(slow),
    disk.close(),
    stored.write(0, new Uint8Array(1)),
  ];
  worker.terminate();
  const results = await Promise.allSettled(waiting);
  const reasons = results.map((result) => (result.status === 'rejected' ? (result.reason as BlockError) : undefined));
  expect(reasons.map((reason) => reason?.kind)).toEqual(Array.from({ length: 6 }, () => 'closed'));
  expect(reasons[0]?.message).toContain('has died');
  const why = await spindle.closed;
  expect(why).toBeInstanceOf(BlockError);
  await failsWith('closed', () => stored.read(0, 1), 'a later read');
  await failsWith('closed', () => spindle.open(slow), 'a later open');
  await failsWith('closed', () => stream.read(), 'the stream');
  await spindle.close();
});

test('a worker that was terminated leaves its files free', async () => {
  const worker = startWorker();
  const first = await connect({ worker });
  await first.create({ driver: 'raw', file, size: 65536 }, { overwrite: true });
  await first.open({ driver: 'raw', file });
  worker.terminate();
  await first.closed;
  await using second = await connect();
  await expect.poll(() => openAndClose(second), { timeout: 10_000 }).toBe('opened');
  await second.delete(file);
});

async function openAndClose(spindle: Spindle): Promise<string> {
  try {
    const disk = await spindle.open({ driver: 'raw', file });
    await disk.close();
    return 'opened';
  } catch (error) {
    return String(error);
  }
}

test('a connection that is closed says so to everybody', async () => {
  const spindle = await connect();
  const disk = await spindle.open({ driver: 'raw', file: { driver: 'memory', size: 512 } });
  const late = disk.write(0, new Uint8Array([1]));
  await Promise.all([spindle.close(), spindle.close()]);
  await late;
  expect(await spindle.closed).toBeUndefined();
  await disk.close();
  await failsWith('closed', () => spindle.probe({ driver: 'memory', size: 1 }), 'a probe');
  await failsWith('closed', () => disk.read(0, 1), 'a read');
  await failsWith('closed', () => spindle.files.list(), 'a call');
});

test('a worker that does not start is told apart by why', async () => {
  const missing = await failsWith('closed', () => connect({ worker: '/no/such/worker.js' }), 'a missing script');
  expect(missing.message).toContain('could not be loaded');
  const throwing = scriptOf('throw new Error("out of order")');
  const broken = await failsWith('closed', () => connect({ worker: throwing }), 'a script that throws');
  expect(broken.message).toContain('out of order');
  const silent = scriptOf('self.onmessage = () => undefined');
  const mute = await failsWith('closed', () => connect({ worker: silent, startTimeoutMs: 300 }), 'a silent script');
  expect(mute.message).toContain('did not answer within 300 ms');
  const foreign = 'https://example.invalid/worker.js';
  await failsWith('closed', () => connect({ worker: foreign }), 'a script of another origin');
  const refusing = (): Worker => {
    throw new DOMException('not here', 'SecurityError');
  };
  const refused = await failsWith('closed', () => connect({ worker: refusing }), 'a function that throws');
  expect((refused.cause as DOMException).name).toBe('SecurityError');
});

test('a worker of another release is refused', async () => {
  const version = PROTOCOL_VERSION + 1;
  const text = `self.onmessage = ({ data }) => data.control.postMessage({ spindle: ${version}, holdsLock: false })`;
  await failsWith('unsupported', () => connect({ worker: scriptOf(text) }), 'another release');
});

test('a worker of the caller serves two connections, each with disks of its own, and outlives them', async () => {
  const worker = startWorker();
  const [first, second] = await Promise.all([connect({ worker }), connect({ worker })]);
  const options = { driver: 'raw', 'node-name': 'same', file: { driver: 'memory', size: 512 } } as const;
  const [mine, yours] = await Promise.all([first.open(options), second.open(options)]);
  await mine.write(0, new Uint8Array([1]));
  expect(await yours.read(0, 1)).toEqual(new Uint8Array([0]));
  await first.close();
  expect(await yours.read(0, 1)).toEqual(new Uint8Array([0]));
  await second.close();

  const third = await connect({ worker });
  await third.create({ driver: 'raw', file, size: 512 }, { overwrite: true });
  const opening = third.open({ driver: 'raw', file });
  await Promise.all([third.close(), failsWith('closed', () => opening, 'an open beside the close')]);
  const fourth = await connect({ worker: () => worker });
  await expect.poll(() => openAndClose(fourth), { timeout: 10_000 }).toBe('opened');
  await fourth.delete(file);
  await fourth.close();
});

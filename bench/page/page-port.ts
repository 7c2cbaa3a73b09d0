// Measures in the page; bench/page-port.bench.ts opens it.
import { connect, type Disk } from '../../src/client/index.ts';

export interface PortMeasurement {
  readonly label: string;
  readonly bytes: number;
  /** One request, by round. */
  readonly microseconds: number[];
}

const DISK_BYTES = 64 * 2 ** 20;
const ROUNDS = 8;
const PATH = 'page-port.img';

interface BareWorker {
  read(offset: number, buffer: ArrayBuffer): Promise<ArrayBuffer>;
}

async function startBare(): Promise<BareWorker> {
  const worker = new Worker(new URL('./bare.worker.ts', import.meta.url), { type: 'module' });
  const send = (path: string | undefined, offset: number, buffer: ArrayBuffer): Promise<ArrayBuffer> =>
    new Promise((resolve) => {
      worker.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => resolve(data);
      worker.postMessage({ path, offset, buffer }, [buffer]);
    });
  await send(PATH, 0, new ArrayBuffer(8));
  return { read: (offset, buffer) => send(undefined, offset, buffer) };
}

function offsets(bytes: number, count: number): number[] {
  const slots = DISK_BYTES / bytes;
  return Array.from({ length: count }, (_, index) => ((index * 7919) % slots) * bytes);
}

async function timed(count: number, work: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work();
  return ((performance.now() - startMs) * 1000) / count;
}

async function bareRound(bare: BareWorker, bytes: number, count: number): Promise<number> {
  let buffer = new ArrayBuffer(bytes);
  return timed(count, async () => {
    for (const offset of offsets(bytes, count)) buffer = await bare.read(offset, buffer);
  });
}

async function recycledRound(disk: Disk, bytes: number, count: number): Promise<number> {
  return timed(count, async () => {
    for (const offset of offsets(bytes, count)) disk.recycle(await disk.read(offset, bytes));
  });
}

async function intoRound(disk: Disk, bytes: number, count: number): Promise<number> {
  let buffer = new Uint8Array(bytes);
  return timed(count, async () => {
    for (const offset of offsets(bytes, count)) buffer = await disk.read(offset, bytes, { into: buffer });
  });
}

async function plainRound(disk: Disk, bytes: number, count: number): Promise<number> {
  return timed(count, async () => {
    for (const offset of offsets(bytes, count)) await disk.read(offset, bytes);
  });
}

async function batchRound(disk: Disk, bytes: number, count: number): Promise<number> {
  return timed(count, async () => {
    for (let done = 0; done < count; done += 100) {
      const batch = offsets(bytes, 100).map(async (offset) => disk.recycle(await disk.read(offset, bytes)));
      await Promise.all(batch);
    }
  });
}

async function writeRound(disk: Disk, bytes: number, count: number): Promise<number> {
  const data = new Uint8Array(bytes).fill(7);
  return timed(count, async () => {
    for (const offset of offsets(bytes, count)) await disk.write(offset, data);
  });
}

async function measure(): Promise<PortMeasurement[]> {
  const spindle = await connect();
  const file = { driver: 'opfs', path: PATH } as const;
  await spindle.create({ driver: 'raw', file, size: DISK_BYTES }, { overwrite: true });
  const writer = await spindle.open({ driver: 'raw', file });
  for (let at = 0; at < DISK_BYTES; at += 2 ** 20) await writer.write(at, new Uint8Array(2 ** 20).fill(1));
  const writes: PortMeasurement[] = [];
  for (const bytes of [4096, 65536]) {
    const microseconds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) microseconds.push(await writeRound(writer, bytes, 500));
    writes.push({ label: `write ${bytes}, copied`, bytes, microseconds });
  }
  await writer.close();

  const disk = await spindle.open({ driver: 'raw', file, 'read-only': true });
  const bare = await startBare();
  const reads: PortMeasurement[] = [];
  for (const bytes of [4096, 65536, 2 ** 20]) {
    const count = bytes > 65536 ? 300 : 1500;
    const rounds: readonly (readonly [string, () => Promise<number>])[] = [
      [`read ${bytes}, bare postMessage`, () => bareRound(bare, bytes, count)],
      [`read ${bytes}, into the caller's`, () => intoRound(disk, bytes, count)],
      [`read ${bytes}, recycled`, () => recycledRound(disk, bytes, count)],
      [`read ${bytes}, kept`, () => plainRound(disk, bytes, count)],
      ...(bytes <= 65536
        ? [[`read ${bytes}, 100 at once, recycled`, () => batchRound(disk, bytes, count)] as const]
        : []),
    ];
    const results = rounds.map(([label]) => ({ label, bytes, microseconds: [] as number[] }));
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [index, [, work]] of rounds.entries()) {
        const microseconds = await work();
        if (round > 0) results[index]!.microseconds.push(microseconds);
      }
    }
    reads.push(...results);
  }
  await spindle.close();
  return [...reads, ...writes];
}

(globalThis as unknown as { measured: Promise<PortMeasurement[]> }).measured = measure();

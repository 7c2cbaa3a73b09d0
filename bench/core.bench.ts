// What the core itself costs, in nanoseconds per request: everything above a storage that does nothing, in Node.
import { startAsync } from '../src/block/co.ts';
import { BYTE_LIMITS, type ProtocolDriver, type Storage } from '../src/block/driver.ts';
import { formatDrivers } from '../src/block/format/index.ts';
import type { BlockBackend } from '../src/block/graph/backend.ts';
import { BlockGraph } from '../src/block/graph/graph.ts';
import type { ImageNode } from '../src/block/graph/image-node.ts';
import { createImage } from '../src/block/image/create.ts';
import { createMemoryProtocol } from '../src/block/protocol/memory/index.ts';
import type { Bench } from './bench.ts';
import { fillDisk } from './fill.ts';
import { randomOffsets, singleRounds } from './rounds.ts';

export const name = 'core';

/** Larger than what fits into 32 bits, as disks are. */
const DISK_BYTES = 64 * 2 ** 30;
const FULL_BYTES = 256 * 2 ** 20;
const TIMES = 20_000;

class IdleStorage implements Storage {
  readonly synchronous = true;
  readonly readOnly = false;
  readonly limits = BYTE_LIMITS;
  touched = 0;

  getLength(): number {
    return DISK_BYTES;
  }

  read(offset: number, buffer: Uint8Array): void {
    this.touched += offset + buffer.length;
  }

  write(offset: number, data: Uint8Array): void {
    this.touched += offset + data.length;
  }

  truncate(): void {}

  flush(): void {}

  close(): void {}
}

const idle: ProtocolDriver<Record<string, never>> = {
  kind: 'protocol',
  name: 'idle',
  options: {},
  isAvailable: () => true,
  filename: () => 'idle',
  open: () => Promise.resolve(new IdleStorage()),
};

export async function run(bench: Bench): Promise<void> {
  const graph = new BlockGraph({
    protocols: [idle, createMemoryProtocol()],
    formats: formatDrivers,
    filters: [],
    defaultProtocol: 'idle',
  });
  const storage = new IdleStorage();
  const offsets = randomOffsets(DISK_BYTES, 4096);
  const buffer = new Uint8Array(4096);
  nanoseconds(bench, 'the idle storage itself', (index) => storage.read(offsets[index & 65_535]!, buffer));

  const raw = await graph.open({ driver: 'raw', file: { driver: 'idle' } });
  nanoseconds(bench, 'readSync, raw', (index) => raw.readSync(offsets[index & 65_535]!, buffer));
  nanoseconds(bench, 'writeSync, raw', (index) => raw.writeSync(offsets[index & 65_535]!, buffer));
  nanoseconds(bench, 'map, raw', mapOf(raw, offsets));

  const file = { driver: 'memory', name: 'full.qcow2' };
  await startAsync(createImage(graph, { driver: 'qcow2', file, size: FULL_BYTES }));
  const qcow2 = await graph.open({ driver: 'qcow2', file });
  fillDisk(qcow2);
  nanoseconds(bench, 'map, qcow2, tables cached', mapOf(qcow2, randomOffsets(FULL_BYTES, 4096)));
}

function mapOf(disk: BlockBackend, offsets: Float64Array): (index: number) => void {
  const { image } = disk.node as ImageNode;
  let sum = 0;
  return (index) => {
    const extent = image.map(offsets[index & 65_535]!, 4096);
    if (!(extent instanceof Promise)) sum += extent.hostOffset;
    if (sum < 0) throw new Error('an extent has no place');
  };
}

function nanoseconds(bench: Bench, line: string, work: (index: number) => void): void {
  const times = singleRounds(101, { times: TIMES, run: work });
  bench.add(
    line,
    times.map((us) => us * 1000),
    'ns',
  );
}

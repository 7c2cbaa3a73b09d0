// In the worker: requests through the block layer against the bare access handle. The handle works on a twin of the image, a
// file made by the same writes, at the same places: how a file came to be changes what reading it costs.
import { startAsync } from '../../src/block/co.ts';
import type { BlockBackend } from '../../src/block/graph/backend.ts';
import { BlockGraph } from '../../src/block/graph/graph.ts';
import type { ImageNode } from '../../src/block/graph/image-node.ts';
import { createImage } from '../../src/block/image/create.ts';
import { workerDrivers } from '../../src/worker/drivers.ts';
import { fillDisk, pattern } from '../fill.ts';
import { pairedRounds, randomOffsets, type PairedTimes } from '../rounds.ts';
import { openHandle } from './handle.ts';

export interface CoreTimes extends PairedTimes {
  readonly format: string;
  readonly op: 'read' | 'write';
  readonly length: number;
}

/** Small enough for the system's page cache, and for all tables of a qcow2 image in the default cache. */
const DISK_BYTES = 256 * 2 ** 20;

const ROUNDS = 601;

/** Requests of one round, which takes half a millisecond. */
const SIZES = [
  { length: 4096, reads: 256, writes: 16 },
  { length: 65_536, reads: 64, writes: 8 },
];

export async function measureCore(): Promise<CoreTimes[]> {
  return [...(await measureFormat('raw')), ...(await measureFormat('qcow2'))];
}

async function measureFormat(format: string): Promise<CoreTimes[]> {
  const graph = new BlockGraph(workerDrivers);
  const twin = `bench/core-twin.${format}`;
  await graph.close(await openFullDisk(graph, format, twin));
  const disk = await openFullDisk(graph, format, `bench/core.${format}`);
  const handle = await openHandle(twin);
  try {
    return SIZES.flatMap(({ length, reads, writes }) => [
      { format, op: 'read' as const, length, ...compare('read', disk, handle, length, reads) },
      { format, op: 'write' as const, length, ...compare('write', disk, handle, length, writes) },
    ]);
  } finally {
    handle.close();
    await graph.close(disk);
  }
}

async function openFullDisk(graph: BlockGraph, format: string, path: string): Promise<BlockBackend> {
  const file = { driver: 'opfs', path };
  await startAsync(createImage(graph, { driver: format, file, size: DISK_BYTES }, { overwrite: true }));
  const disk = await graph.open({ driver: format, file });
  fillDisk(disk);
  return disk;
}

function compare(
  op: 'read' | 'write',
  disk: BlockBackend,
  handle: FileSystemSyncAccessHandle,
  length: number,
  times: number,
): PairedTimes {
  const guest = randomOffsets(DISK_BYTES, length);
  const host = guest.map((offset) => hostOffsetOf(disk, offset, length));
  const bytes = pattern(length);
  const at = { at: 0 };
  const limit = {
    read: (index: number) => {
      at.at = host[index & 65_535]!;
      handle.read(bytes, at);
    },
    write: (index: number) => {
      at.at = host[index & 65_535]!;
      handle.write(bytes, at);
    },
  };
  const ours = {
    read: (index: number) => disk.readSync(guest[index & 65_535]!, bytes),
    write: (index: number) => disk.writeSync(guest[index & 65_535]!, bytes),
  };
  return pairedRounds(ROUNDS, { times, run: limit[op] }, { times, run: ours[op] });
}

function hostOffsetOf(disk: BlockBackend, offset: number, length: number): number {
  const extent = (disk.node as ImageNode).image.map(offset, length);
  if (extent instanceof Promise || extent.kind !== 'data' || extent.length !== length)
    throw new Error(`the range of ${length} bytes at ${offset} is not one piece of data`);
  return extent.hostOffset;
}

// In the worker: requests through the block layer against the bare access handle, on files of the same size and content.
import { startAsync } from '../../src/block/co.ts';
import type { BlockBackend } from '../../src/block/graph/backend.ts';
import { BlockGraph } from '../../src/block/graph/graph.ts';
import { createImage } from '../../src/block/image/create.ts';
import { workerDrivers } from '../../src/worker/drivers.ts';
import { fillDisk, pattern } from '../fill.ts';
import { pairedRounds, randomOffsets, type PairedTimes } from '../rounds.ts';
import { bareHandle } from './handle.ts';

export interface CoreTimes extends PairedTimes {
  readonly format: string;
  readonly op: 'read' | 'write';
  readonly length: number;
}

/** Small enough for the system's page cache, and for all tables of a qcow2 image in the default cache. */
const DISK_BYTES = 256 * 2 ** 20;

const SIZES = [
  { length: 4096, reads: 16_384, writes: 1024 },
  { length: 65_536, reads: 4096, writes: 512 },
];

export async function measureCore(): Promise<CoreTimes[]> {
  const handle = await bareHandle('bench/limit.img', DISK_BYTES);
  const results: CoreTimes[] = [];
  try {
    for (const format of ['raw', 'qcow2']) results.push(...(await measureFormat(format, handle)));
  } finally {
    handle.close();
  }
  return results;
}

async function measureFormat(format: string, handle: FileSystemSyncAccessHandle): Promise<CoreTimes[]> {
  const graph = new BlockGraph(workerDrivers);
  const file = { driver: 'opfs', path: `bench/core.${format}` };
  await startAsync(createImage(graph, { driver: format, file, size: DISK_BYTES }, { overwrite: true }));
  const disk = await graph.open({ driver: format, file });
  try {
    fillDisk(disk);
    return SIZES.flatMap(({ length, reads, writes }) => [
      { format, op: 'read' as const, length, ...compareReads(disk, handle, length, reads) },
      { format, op: 'write' as const, length, ...compareWrites(disk, handle, length, writes) },
    ]);
  } finally {
    await graph.close(disk);
  }
}

function compareReads(
  disk: BlockBackend,
  handle: FileSystemSyncAccessHandle,
  length: number,
  times: number,
): PairedTimes {
  const offsets = randomOffsets(DISK_BYTES, length);
  const buffer = new Uint8Array(length);
  const at = { at: 0 };
  return pairedRounds(
    15,
    {
      times,
      run: (index) => {
        at.at = offsets[index & 65_535]!;
        handle.read(buffer, at);
      },
    },
    { times, run: (index) => disk.readSync(offsets[index & 65_535]!, buffer) },
  );
}

function compareWrites(
  disk: BlockBackend,
  handle: FileSystemSyncAccessHandle,
  length: number,
  times: number,
): PairedTimes {
  const offsets = randomOffsets(DISK_BYTES, length);
  const data = pattern(length);
  const at = { at: 0 };
  return pairedRounds(
    15,
    {
      times,
      run: (index) => {
        at.at = offsets[index & 65_535]!;
        handle.write(data, at);
      },
    },
    { times, run: (index) => disk.writeSync(offsets[index & 65_535]!, data) },
  );
}

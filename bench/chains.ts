/** Reads through overlays on overlays, in Node and in the browser alike. */
import { startAsync } from '../src/block/co.ts';
import type { BlockdevOptions } from '../src/block/driver.ts';
import type { BlockBackend } from '../src/block/graph/backend.ts';
import { BlockGraph } from '../src/block/graph/graph.ts';
import { createImage } from '../src/block/image/create.ts';
import type { DriverSet } from '../src/block/registry.ts';
import { fillDisk, pattern } from './fill.ts';
import { pairedRounds, randomOffsets, type PairedTimes, type Side } from './rounds.ts';

/** `limit` is depth 1: a base and one overlay. */
export interface ChainTimes extends PairedTimes {
  readonly depth: number;
  readonly length: number;
}

const DISK_BYTES = 64 * 2 ** 20;
const CLUSTER_BYTES = 65_536;
const DEPTHS = [4, 16, 64];
const SIZES = [
  { length: 4096, times: 256 },
  { length: 65_536, times: 64 },
];

type FileOf = (name: string) => BlockdevOptions;

/**
 * @param fileOf options of a file that can be made new under that name
 * @returns reads of 4 and 64 KiB through 4, 16 and 64 overlays, each against one overlay
 */
export async function measureChains(drivers: DriverSet, fileOf: FileOf): Promise<ChainTimes[]> {
  const results: ChainTimes[] = [];
  const shallow = await openChain(drivers, fileOf, 1);
  for (const depth of DEPTHS) {
    const deep = await openChain(drivers, fileOf, depth);
    for (const { length, times } of SIZES) {
      const limit = readSide(shallow.disk, length, times);
      const ours = readSide(deep.disk, length, times);
      results.push({ depth, length, ...pairedRounds(401, limit, ours) });
    }
    await deep.graph.close(deep.disk);
  }
  await shallow.graph.close(shallow.disk);
  return results;
}

/** Makes a full base with `depth` overlays, the data spread over all layers, and opens it. */
async function openChain(
  drivers: DriverSet,
  fileOf: FileOf,
  depth: number,
): Promise<{ graph: BlockGraph; disk: BlockBackend }> {
  const graph = new BlockGraph(drivers);
  let options: BlockdevOptions = { driver: 'qcow2' };
  for (let layer = 0; layer <= depth; layer++) {
    const file = fileOf(`${depth}-${layer}`);
    const backing = layer === 0 ? {} : { backing: options };
    const named = layer === 0 ? {} : { backing_file: 'below', backing_fmt: 'qcow2' };
    await startAsync(createImage(graph, { driver: 'qcow2', file, size: DISK_BYTES, ...named }, { overwrite: true }));
    options = { driver: 'qcow2', file, ...backing };
    const disk = await graph.open(options);
    if (layer === 0) fillDisk(disk);
    else if (layer < depth) writeShare(disk, layer, depth);
    await graph.close(disk);
  }
  return { graph, disk: await graph.open(options) };
}

/** Every layer but the top one, which is read through, holds as many clusters as the others that are seen from the top. */
function writeShare(disk: BlockBackend, layer: number, depth: number): void {
  const data = pattern(CLUSTER_BYTES);
  for (let cluster = layer; cluster * CLUSTER_BYTES < DISK_BYTES; cluster += depth) {
    disk.writeSync(cluster * CLUSTER_BYTES, data);
  }
}

function readSide(disk: BlockBackend, length: number, times: number): Side {
  const offsets = randomOffsets(DISK_BYTES, length);
  const buffer = new Uint8Array(length);
  return { times, run: (index) => disk.readSync(offsets[index & 65_535]!, buffer) };
}

import { settle, type Co } from '../../co.ts';
import type { BlockChild, CreateContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import {
  DEFAULT_CLUSTER_BYTES,
  ENTRY_LENGTH,
  FIELD,
  HEADER_LENGTH,
  HEADS,
  MAGIC_CLUSTERS,
  MAX_BAT_BYTES,
  MAX_CLUSTER_BYTES,
  SECTORS_PER_TRACK,
  VERSION,
} from './layout.ts';
import { roundUp } from '../../../binary/round-up.ts';

export const createOptions = {
  size: { type: 'size', help: 'Virtual disk size', required: true },
  cluster_size: { type: 'size', help: 'Parallels image cluster size', default: DEFAULT_CLUSTER_BYTES },
} as const satisfies OptionSchema;

/**
 * Writes an empty image: the table first, the header when that is stable.
 *
 * @throws BlockError `invalid` for clusters and disks that are too large
 */
export function* create(
  file: BlockChild,
  options: OptionValues<typeof createOptions>,
  { progress }: CreateContext,
): Co<void> {
  const clusterSize = roundUp(options.cluster_size, SECTOR_SIZE);
  if (clusterSize > MAX_CLUSTER_BYTES) {
    throw new BlockError('invalid', `Cluster size is too large: it may be ${MAX_CLUSTER_BYTES} bytes`);
  }
  const size = roundUp(options.size, SECTOR_SIZE);
  const entries = clusterSize === 0 ? Infinity : Math.ceil(size / clusterSize);
  if (entries * ENTRY_LENGTH > MAX_BAT_BYTES) {
    throw new BlockError('invalid', 'Image size is too large for this cluster size');
  }
  const dataStart = roundUp(HEADER_LENGTH + entries * ENTRY_LENGTH, clusterSize);
  const bytes = new Uint8Array(HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(MAGIC_CLUSTERS), FIELD.magic);
  view.setUint32(FIELD.version, VERSION, true);
  view.setUint32(FIELD.heads, HEADS, true);
  view.setUint32(FIELD.cylinders, Math.floor(size / SECTOR_SIZE / HEADS / SECTORS_PER_TRACK), true);
  view.setUint32(FIELD.tracks, clusterSize / SECTOR_SIZE, true);
  view.setUint32(FIELD.batEntries, entries, true);
  view.setBigUint64(FIELD.nbSectors, BigInt(size / SECTOR_SIZE), true);
  view.setUint32(FIELD.dataOff, dataStart / SECTOR_SIZE, true);
  yield* settle(file.writeZeroes(0, dataStart));
  yield* settle(file.flush());
  yield* settle(file.write(0, bytes));
  yield* settle(file.flush());
  progress?.report(dataStart, dataStart);
}

import { roundUp } from '../../../binary/round-up.ts';
import { settle, type Co } from '../../co.ts';
import type { BlockChild, CreateContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { encodeHeader, isPowerOfTwo, maxImageSize, withBackingFile } from './header.ts';
import {
  DEFAULT_CLUSTER_SIZE,
  DEFAULT_TABLE_SIZE,
  MAX_CLUSTER_SIZE,
  MAX_TABLE_SIZE,
  MIN_CLUSTER_SIZE,
  MIN_TABLE_SIZE,
} from './layout.ts';

export const createOptions = {
  size: { type: 'size', help: 'Virtual disk size', required: true },
  backing_file: { type: 'string', help: 'File name of a base image' },
  backing_fmt: { type: 'string', help: 'Image format of the base image' },
  cluster_size: { type: 'size', help: 'Cluster size (in bytes)', default: DEFAULT_CLUSTER_SIZE },
  table_size: { type: 'size', help: 'L1/L2 table size (in clusters)', default: DEFAULT_TABLE_SIZE },
} as const satisfies OptionSchema;

/**
 * Writes an empty image: the L1 table first, the header when that is stable.
 *
 * @throws BlockError `invalid` for a size or shape that the format does not have, and for tables of one cluster: the specification
 * allows them, QEMU makes them, and cannot open them again ("QED table offset is invalid")
 */
export function* create(
  file: BlockChild,
  options: OptionValues<typeof createOptions>,
  { progress }: CreateContext,
): Co<void> {
  const { cluster_size: clusterSize, table_size: tableSize, size } = options;
  checkOptions(clusterSize, tableSize);
  const imageSize = roundUp(size, SECTOR_SIZE);
  const plain = {
    clusterSize,
    tableSize,
    headerSize: 1,
    features: 0n,
    compatFeatures: 0n,
    autoclearFeatures: 0n,
    l1TableOffset: clusterSize,
    imageSize,
    backingFilename: undefined,
  };
  if (imageSize > maxImageSize(plain)) {
    throw new BlockError(
      'invalid',
      `Image size must be at most ${maxImageSize(plain)} bytes with this cluster_size and table_size`,
    );
  }
  const header = withBackingFile(plain, options.backing_file, options.backing_fmt === 'raw');
  const bytes = encodeHeader(header);
  const end = (1 + tableSize) * clusterSize;
  yield* settle(file.writeZeroes(0, end));
  yield* settle(file.flush());
  yield* settle(file.write(0, bytes));
  yield* settle(file.flush());
  progress?.report(end, end);
}

function checkOptions(clusterSize: number, tableSize: number): void {
  if (!isPowerOfTwo(clusterSize) || clusterSize < MIN_CLUSTER_SIZE || clusterSize > MAX_CLUSTER_SIZE) {
    throw new BlockError(
      'invalid',
      `QED cluster size must be within range [${MIN_CLUSTER_SIZE}, ${MAX_CLUSTER_SIZE}] and power of 2`,
    );
  }
  if (!isPowerOfTwo(tableSize) || tableSize < MIN_TABLE_SIZE || tableSize > MAX_TABLE_SIZE) {
    throw new BlockError(
      'invalid',
      `QED table size must be within range [${MIN_TABLE_SIZE}, ${MAX_TABLE_SIZE}] and power of 2`,
    );
  }
  if (tableSize === 1) {
    throw new BlockError(
      'invalid',
      'QEMU cannot open QED images with tables of one cluster: take a table_size from 2 to 16',
    );
  }
}

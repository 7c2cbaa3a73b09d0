import { settle, type Co } from '../../co.ts';
import type { BlockChild, CreateContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { TimeSlice } from '../../time-slice.ts';
import { randomGuid } from '../shared/guid.ts';
import { encodeEntry } from './bat.ts';
import { encodeHeader } from './header.ts';
import {
  BAT_ENTRY_LENGTH,
  BLOCK_FULLY_PRESENT,
  BLOCK_ZERO,
  CREATOR_BYTES,
  CREATOR_OFFSET,
  DEFAULT_LOG_SIZE,
  FILE_SIGNATURE,
  HEADER_OFFSETS,
  HEADER_SECTION,
  LOG_ALIGNMENT,
  MAX_BLOCK_SIZE,
  MAX_DISK_SIZE,
  MIB,
  MIN_BLOCK_SIZE,
  NO_GUID,
  REGION_ALIGNMENT,
  REGION_TABLE_OFFSETS,
} from './layout.ts';
import { batEntries, chunkRatio, encodeMetadata, type VhdxMetadata } from './metadata.ts';
import { encodeRegions } from './regions.ts';
import { roundUp } from '../../../binary/round-up.ts';

export const createOptions = {
  size: { type: 'size', help: 'Virtual disk size; max of 64TB.', required: true },
  log_size: { type: 'size', help: 'Log size; min 1MB.', default: DEFAULT_LOG_SIZE },
  block_size: {
    type: 'size',
    help: 'Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.',
    default: 0,
  },
  subformat: {
    type: 'enum',
    values: ['dynamic', 'fixed'],
    help: "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.",
    default: 'dynamic',
  },
  block_state_zero: {
    type: 'boolean',
    help: "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using 'qemu-img convert' with subformat=dynamic.",
    default: true,
  },
} as const satisfies OptionSchema;

type CreateOptions = OptionValues<typeof createOptions>;

const CREATOR = 'Spindle';
const MAX_LOG_SIZE = 2 ** 32 - 1;
/** Bytes of the table that are made and written at once. */
const TABLE_PIECE = MIB;

interface Plan {
  readonly metadata: VhdxMetadata;
  readonly fixed: boolean;
  readonly logLength: number;
  readonly bat: { readonly offset: number; readonly length: number };
  readonly region: { readonly offset: number; readonly length: number };
  /** Where the first block goes. */
  readonly dataOffset: number;
}

/**
 * Writes an empty image. What makes it one, the first bytes of the file, goes down when everything else is stable.
 *
 * @throws BlockError `invalid` for a size that the format does not have, in QEMU's words
 */
export function* create(file: BlockChild, options: CreateOptions, { progress }: CreateContext): Co<void> {
  const plan = planOf(options);
  const { metadata, fixed, bat, region, dataOffset } = plan;
  const end = fixed ? dataOffset + blocksOf(metadata) * metadata.blockSize : dataOffset;
  yield* settle(file.truncate(end));
  yield* settle(file.write(region.offset, encodeMetadata(metadata)));
  if (fixed || options.block_state_zero) {
    const total = batEntries(metadata) * BAT_ENTRY_LENGTH;
    const slice = new TimeSlice();
    for (let at = 0; at < total; at += TABLE_PIECE) {
      yield* settle(file.write(bat.offset + at, encodeTable(plan, at, Math.min(TABLE_PIECE, total - at))));
      progress?.report(at, total);
      yield* slice.pause();
    }
  }
  const table = encodeRegions(bat, region);
  for (const offset of REGION_TABLE_OFFSETS) yield* settle(file.write(offset, table));
  const header = {
    fileWriteGuid: randomGuid(),
    dataWriteGuid: randomGuid(),
    logGuid: NO_GUID,
    logLength: plan.logLength,
    logOffset: HEADER_SECTION,
  };
  for (const [index, offset] of HEADER_OFFSETS.entries()) {
    yield* settle(file.write(offset, encodeHeader({ ...header, sequenceNumber: BigInt(index + 1) })));
  }
  yield* settle(file.flush());
  yield* settle(file.write(0, encodeIdentifier()));
  yield* settle(file.flush());
  progress?.report(1, 1);
}

function planOf(options: CreateOptions): Plan {
  if (options.size > MAX_DISK_SIZE) throw new BlockError('invalid', 'Image size too large; max of 64TB');
  const virtualSize = roundUp(options.size, SECTOR_SIZE);
  const metadata = {
    blockSize: blockSizeOf(options.block_size, virtualSize),
    leaveBlocksAllocated: options.subformat === 'fixed',
    virtualSize,
    diskId: randomGuid(),
    logicalSectorSize: 512,
    physicalSectorSize: 512,
  };
  const logLength = roundUp(options.log_size, LOG_ALIGNMENT);
  if (options.log_size === 0) throw new BlockError('invalid', 'Log size must be a multiple of 1 MB');
  if (logLength > MAX_LOG_SIZE) throw new BlockError('invalid', 'Log size must be smaller than 4 GB');
  const region = { offset: HEADER_SECTION + logLength, length: REGION_ALIGNMENT };
  const tableBytes = Math.max(1, batEntries(metadata) * BAT_ENTRY_LENGTH);
  const bat = { offset: region.offset + region.length, length: roundUp(tableBytes, REGION_ALIGNMENT) };
  const fixed = options.subformat === 'fixed';
  return { metadata, fixed, logLength, bat, region, dataOffset: bat.offset + bat.length };
}

/** What was asked for, in whole MiB and no more than the format has, or what suits the size of the disk. QEMU's sizes. */
function blockSizeOf(asked: number, virtualSize: number): number {
  if (asked > 0) {
    const size = Math.min(Math.max(MIN_BLOCK_SIZE, roundUp(asked, MIB)), MAX_BLOCK_SIZE);
    if (!Number.isInteger(Math.log2(size))) throw new BlockError('invalid', 'Block size must be a power of two');
    return size;
  }
  if (virtualSize > 32 * 2 ** 40) return 64 * MIB;
  if (virtualSize > 100 * 2 ** 30) return 32 * MIB;
  return virtualSize > 2 ** 30 ? 16 * MIB : 8 * MIB;
}

function blocksOf({ virtualSize, blockSize }: VhdxMetadata): number {
  return Math.ceil(virtualSize / blockSize);
}

/** A part of the table: blocks in a row, or blocks of zeroes. The entries of sector bitmaps stay empty. */
function encodeTable({ metadata, fixed, dataOffset }: Plan, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  const stride = chunkRatio(metadata) + 1;
  for (let at = 0; at < length; at += BAT_ENTRY_LENGTH) {
    const index = (from + at) / BAT_ENTRY_LENGTH;
    if (index % stride === stride - 1) continue;
    const block = index - Math.floor(index / stride);
    const entry = fixed
      ? { state: BLOCK_FULLY_PRESENT, offset: dataOffset + block * metadata.blockSize }
      : { state: BLOCK_ZERO, offset: 0 };
    encodeEntry(view, at, entry);
  }
  return bytes;
}

function encodeIdentifier(): Uint8Array {
  const bytes = new Uint8Array(CREATOR_OFFSET + CREATOR_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, FILE_SIGNATURE, true);
  // UTF-16.
  for (let index = 0; index < CREATOR.length; index++) {
    view.setUint16(CREATOR_OFFSET + index * 2, CREATOR.codePointAt(index)!, true);
  }
  return bytes;
}

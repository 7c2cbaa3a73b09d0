import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { FIELD, MAX_BLOCK_BYTES, MAX_OFFSETS_BYTES, MAX_STORED_BYTES, OFFSET_LENGTH } from './layout.ts';

export interface CloopHeader {
  /** Bytes. */
  readonly blockSize: number;
  readonly blocks: number;
  /** Where each block begins in the file, and where the last one ends. */
  readonly offsets: Float64Array;
}

/**
 * Reads the header and all offsets, and checks them.
 *
 * @throws BlockError `corrupt` for a field that cannot be or a file that was cut off, `unsupported` for blocks and tables that are too large
 */
export function* readHeader(file: BlockChild): Co<CloopHeader> {
  const fields = new Uint8Array(FIELD.offsets);
  yield* settle(file.read(0, fields));
  const view = new DataView(fields.buffer);
  const blockSize = view.getUint32(FIELD.blockSize);
  const blocks = view.getUint32(FIELD.blocks);
  if (blockSize === 0) throw broken('block_size cannot be zero');
  if (blockSize % SECTOR_SIZE !== 0) throw broken(`block_size ${blockSize} must be a multiple of 512`);
  if (blockSize > MAX_BLOCK_BYTES) {
    throw new BlockError('unsupported', `block_size ${blockSize} must be ${MAX_BLOCK_BYTES} bytes or less`);
  }
  const tableBytes = (blocks + 1) * OFFSET_LENGTH;
  if (tableBytes > MAX_OFFSETS_BYTES) {
    throw new BlockError(
      'unsupported',
      `image requires too many offsets: n_blocks ${blocks} takes ${tableBytes} bytes; no more than ${MAX_OFFSETS_BYTES} are read`,
    );
  }
  if (FIELD.offsets + tableBytes > file.length) {
    throw broken(`the offsets of n_blocks ${blocks} do not fit into the file of ${file.length} bytes: it was cut off`);
  }
  return { blockSize, blocks, offsets: yield* readOffsets(file, tableBytes) };
}

function* readOffsets(file: BlockChild, tableBytes: number): Co<Float64Array> {
  const bytes = new Uint8Array(tableBytes);
  yield* settle(file.read(FIELD.offsets, bytes));
  const view = new DataView(bytes.buffer);
  const offsets = new Float64Array(tableBytes / OFFSET_LENGTH);
  for (let index = 0; index < offsets.length; index++) {
    const at = index * OFFSET_LENGTH;
    offsets[index] = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
    if (index > 0) checkStored(offsets[index - 1]!, offsets[index]!, index);
  }
  if (offsets[0]! < FIELD.offsets + tableBytes) throw broken(`offset ${offsets[0]} of block 0 lies in the header`);
  const end = offsets.at(-1)!;
  if (end > file.length) {
    throw broken(`the last block ends at ${end} in a file of ${file.length} bytes: it was cut off`);
  }
  return offsets;
}

function checkStored(from: number, to: number, index: number): void {
  if (to < from) throw broken(`offsets not monotonically increasing at index ${index}, image file is corrupt`);
  if (to - from > MAX_STORED_BYTES) {
    throw broken(`invalid compressed block size at index ${index}, image file is corrupt`);
  }
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `The cloop header contradicts itself: ${what}`);
}

import { settle, type Co, type MaybePromise } from '../../co.ts';
import {
  BYTE_LIMITS,
  type Allocation,
  type BlockChild,
  type BlockLimits,
  type FormatImage,
  type FormatInfo,
} from '../../driver.ts';
import type { Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { BlockTable, UNALLOCATED, ZERO } from '../shared/block-table.ts';
import { NumberTable } from '../shared/table-bytes.ts';
import { bitmapBytes, type DynamicHeader } from './dynamic-header.ts';
import { BLOCK_UNALLOCATED, FOOTER_LENGTH } from './layout.ts';

export interface OpenedDynamic {
  readonly file: BlockChild;
  readonly readOnly: boolean;
  readonly header: DynamicHeader;
  /** As it stands at the start of the file. */
  readonly footer: Uint8Array;
  readonly virtualSize: number;
  readonly uuid: string;
}

/** The block allocation table of a dynamic or differencing disk. */
export function* readTable({ file, header }: Pick<OpenedDynamic, 'file' | 'header'>): Co<NumberTable> {
  const bytes = new Uint8Array(Math.ceil((header.entries * 4) / SECTOR_SIZE) * SECTOR_SIZE);
  yield* settle(file.read(header.tableOffset, bytes));
  return new NumberTable(header.tableOffset, bytes, { bytes: 4, littleEndian: false });
}

/** Where a block's data is: behind the map of its sectors. */
export function placeOf(entry: number, blockSize: number): number {
  return entry === BLOCK_UNALLOCATED ? UNALLOCATED : entry * SECTOR_SIZE + bitmapBytes(blockSize);
}

/**
 * A dynamic VHD. New blocks go where the footer was, and the footer behind them; the copy at the start of the file is never touched,
 * so the image opens whenever the power is cut.
 */
export class DynamicImage implements FormatImage {
  readonly limits: BlockLimits;
  readonly allocationUnit: number;
  readonly backing = undefined;
  readonly hasZeroInit = true;
  readonly virtualSize: number;
  readonly lineage: { readonly own: string };
  readonly #opened: OpenedDynamic;
  readonly #blocks: BlockTable;

  constructor(opened: OpenedDynamic, table: NumberTable) {
    const { file, header, footer } = opened;
    const { blockSize } = header;
    const prefix = bitmapBytes(blockSize);
    this.#opened = opened;
    this.virtualSize = opened.virtualSize;
    this.lineage = { own: opened.uuid };
    this.allocationUnit = blockSize;
    this.limits = { ...BYTE_LIMITS, writeZeroesAlignment: blockSize };
    this.#blocks = new BlockTable({
      file,
      table,
      blockSize,
      prefix,
      stride: prefix + blockSize,
      end: endOfBlocks(header, table),
      // There is no parent that could show through: a block that is not there is zeroes.
      decode: (entry) => (entry === BLOCK_UNALLOCATED ? ZERO : placeOf(entry, blockSize)),
      encode: (hostOffset) => (hostOffset - prefix) / SECTOR_SIZE,
      // Every sector of the block is here: the rest of it is written too.
      writePrefix: (hostOffset) => settle(file.write(hostOffset - prefix, new Uint8Array(prefix).fill(0xff))),
      beforePublishing: (end) => settle(file.write(end, footer)),
    });
  }

  map(offset: number, length: number): Extent {
    return this.#blocks.map(offset, length);
  }

  allocate(offset: number, length: number): MaybePromise<Allocation> {
    return this.#blocks.allocate(offset, length);
  }

  markZero(offset: number, length: number): MaybePromise<number> {
    return this.#blocks.markZero(offset, length, false);
  }

  info(): FormatInfo {
    const { header } = this.#opened;
    return { format: 'vpc', virtualSize: this.virtualSize, clusterSize: header.blockSize, specific: {} };
  }

  flush(): MaybePromise<void> {
    if (!this.#opened.readOnly) return this.#blocks.flush();
  }

  close(): MaybePromise<void> {
    return this.flush();
  }
}

/** Behind the table and all blocks: where the footer is, and the next block goes. */
function endOfBlocks({ tableOffset, entries, blockSize }: DynamicHeader, table: NumberTable): number {
  let end = Math.ceil((tableOffset + entries * 4) / SECTOR_SIZE) * SECTOR_SIZE;
  for (let index = 0; index < entries; index++) {
    const place = placeOf(table.get(index), blockSize);
    if (place !== UNALLOCATED) end = Math.max(end, place + blockSize);
  }
  return Math.max(end, FOOTER_LENGTH);
}

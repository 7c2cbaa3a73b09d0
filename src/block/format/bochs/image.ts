import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import { BYTE_LIMITS, type BlockChild, type BlockLimits, type FormatImage, type FormatInfo } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { backingExtent, dataExtent, type Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { SliceCache } from '../shared/slice-cache.ts';
import { NumberTable } from '../shared/table-bytes.ts';
import type { BochsHeader } from './header.ts';
import { ENTRY_LENGTH, UNALLOCATED } from './layout.ts';

/** Bytes of extents' bitmaps in memory, and how many of them at most. */
const CACHE_BYTES = 2 ** 20;
const MAX_BITMAPS = 4096;

/** An opened growing image: a catalog of extents, each with a bitmap of the sectors that were written. */
export class BochsImage implements FormatImage {
  readonly limits: BlockLimits = BYTE_LIMITS;
  readonly allocationUnit = SECTOR_SIZE;
  readonly hasZeroInit = true;
  readonly backing = undefined;
  readonly #file: BlockChild;
  readonly #header: BochsHeader;
  readonly #catalog: NumberTable;
  /** By the number that the catalog has for an extent. */
  readonly #bitmaps: SliceCache;

  private constructor(file: BlockChild, header: BochsHeader, catalog: NumberTable) {
    this.#file = file;
    this.#header = header;
    this.#catalog = catalog;
    const sliceBytes = Math.max(1, header.extentSize / SECTOR_SIZE / 8);
    this.#bitmaps = new SliceCache({
      file,
      sliceBytes,
      capacity: Math.min(MAX_BITMAPS, CACHE_BYTES / sliceBytes),
      locate: (extent) => this.#bitmapOffset(extent),
      loadEvent: 'l2_load',
      updateEvent: 'l2_update',
    });
  }

  static *load(file: BlockChild, header: BochsHeader): Co<BochsImage> {
    const bytes = new Uint8Array(header.catalogEntries * ENTRY_LENGTH);
    yield* settle(file.read(header.catalogOffset, bytes));
    const shape = { bytes: 4, littleEndian: true } as const;
    return new BochsImage(file, header, new NumberTable(header.catalogOffset, bytes, shape));
  }

  get virtualSize(): number {
    return this.#header.diskSize;
  }

  #bitmapOffset(extent: number): number {
    const { dataOffset, bitmapBytes, extentSize } = this.#header;
    return dataOffset + extent * (bitmapBytes + extentSize);
  }

  map(offset: number, length: number): MaybePromise<Extent> {
    const { extentSize } = this.#header;
    const index = Math.floor(offset / extentSize);
    const extent = this.#catalog.get(index);
    if (extent === UNALLOCATED) return backingExtent(this.#missing(offset, length, index));
    const slot = this.#bitmaps.lookup(extent);
    return slot >= 0 ? this.#mapSlot(slot, extent, offset, length) : start(this.#load(extent, offset, length));
  }

  /** @returns bytes for which no extent is stored */
  #missing(offset: number, length: number, first: number): number {
    const { extentSize } = this.#header;
    const end = offset + length;
    let index = first + 1;
    while (index * extentSize < end && this.#catalog.get(index) === UNALLOCATED) index++;
    return Math.min(index * extentSize, end) - offset;
  }

  *#load(extent: number, offset: number, length: number): Co<Extent> {
    const place = this.#bitmapOffset(extent);
    if (place + this.#bitmaps.sliceBytes > this.#file.length) throw this.#cutOff('bitmap', place, offset);
    const slot = yield* this.#bitmaps.load(extent);
    return this.#mapSlot(slot, extent, offset, length);
  }

  #mapSlot(slot: number, extent: number, offset: number, length: number): Extent {
    const { extentSize, bitmapBytes } = this.#header;
    const inExtent = offset % extentSize;
    const first = Math.floor(inExtent / SECTOR_SIZE);
    const written = this.#isWritten(slot, first);
    const end = Math.min(inExtent + length, extentSize);
    let sector = first + 1;
    while (sector * SECTOR_SIZE < end && this.#isWritten(slot, sector) === written) sector++;
    const covered = Math.min(sector * SECTOR_SIZE, end) - inExtent;
    if (!written) return backingExtent(covered);
    const place = this.#bitmapOffset(extent) + bitmapBytes + inExtent;
    if (place + covered > this.#file.length) throw this.#cutOff('data', place, offset);
    return dataExtent(this.#file, place, covered, false);
  }

  #isWritten(slot: number, sector: number): boolean {
    const byte = this.#bitmaps.view(slot).getUint8(this.#bitmaps.start(slot) + Math.floor(sector / 8));
    return (byte & (1 << (sector % 8))) !== 0;
  }

  #cutOff(what: string, place: number, offset: number): BlockError {
    return new BlockError(
      'corrupt',
      `The ${what} of the extent at offset ${offset - (offset % this.#header.extentSize)} should be at ${place} in the file, which has only ${this.#file.length} bytes: it was cut off, or the catalog is damaged`,
      { offset },
    );
  }

  info(): FormatInfo {
    return { format: 'bochs', virtualSize: this.virtualSize, specific: {} };
  }

  close(): void {
    // Nothing was changed.
  }
}

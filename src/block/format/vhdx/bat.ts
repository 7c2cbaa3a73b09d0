/**
 * The block allocation table (BAT): one entry for each block of the disk, and between them, after so many, one for a sector bitmap,
 * which only differencing disks use. It may have half a gigabyte, so it is read and kept in slices.
 *
 * Source: MS-VHDX, section 2.5.
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SliceCache } from '../shared/slice-cache.ts';
import {
  BAT_ENTRY_LENGTH,
  BAT_SLICE,
  BLOCK_FULLY_PRESENT,
  BLOCK_NOT_PRESENT,
  BLOCK_PARTIALLY_PRESENT,
  BLOCK_UNDEFINED,
  BLOCK_UNMAPPED,
  BLOCK_UNMAPPED_095,
  BLOCK_ZERO,
  MAX_FILE_LENGTH,
  MIB,
} from './layout.ts';
import { type LogWriter, MAX_LOGGED_SECTORS } from './log-writer.ts';
import { batEntries, chunkRatio, type VhdxMetadata } from './metadata.ts';
import type { Region, Regions } from './regions.ts';

/** Slices in memory: 8 MiB of them, which describe a terabyte in blocks of 1 MiB. */
const CACHED_SLICES = 2048;
export const ENTRIES_PER_SLICE = BAT_SLICE / BAT_ENTRY_LENGTH;

/** What `place` answers for a block that has none in the file. */
export const NO_PLACE = -1;
/** The same, and the block is said to be zero. */
export const ZERO_PLACE = -2;

export interface BatEntry {
  readonly state: number;
  /** Bytes in the file. */
  readonly offset: number;
}

/** Whether a block of this state has no data of its own: it reads as zeroes. */
export function isWithoutData(state: number): boolean {
  return (
    state === BLOCK_NOT_PRESENT ||
    state === BLOCK_UNDEFINED ||
    state === BLOCK_ZERO ||
    state === BLOCK_UNMAPPED ||
    state === BLOCK_UNMAPPED_095
  );
}

export function decodeEntry(view: DataView, at: number): BatEntry {
  const low = view.getUint32(at, true);
  const mib = view.getUint32(at + 4, true) * 2 ** 12 + Math.floor(low / 2 ** 20);
  return { state: low % 8, offset: mib * MIB };
}

/** @param offset bytes in the file, whole MiB */
export function encodeEntry(view: DataView, at: number, { state, offset }: BatEntry): void {
  const mib = offset / MIB;
  view.setUint32(at, (mib % 2 ** 12) * 2 ** 20 + state, true);
  view.setUint32(at + 4, Math.floor(mib / 2 ** 12), true);
}

/** @throws BlockError `corrupt` when the table does not fit into its region */
export function checkBatRegion({ bat }: Regions, metadata: VhdxMetadata): void {
  const needed = batEntries(metadata) * BAT_ENTRY_LENGTH;
  if (needed <= bat.length) return;
  throw new BlockError(
    'corrupt',
    `The BAT of a disk of ${metadata.virtualSize} bytes needs ${needed} bytes, and its region has ${bat.length}`,
  );
}

export class BlockAllocationTable {
  readonly file: BlockChild;
  readonly metadata: VhdxMetadata;
  readonly region: Region;
  readonly #regions: Regions;
  readonly #ratio: number;
  readonly #cache: SliceCache;

  constructor(file: BlockChild, regions: Regions, metadata: VhdxMetadata) {
    checkBatRegion(regions, metadata);
    this.file = file;
    this.metadata = metadata;
    this.region = regions.bat;
    this.#regions = regions;
    this.#ratio = chunkRatio(metadata);
    this.#cache = new SliceCache({
      file,
      sliceBytes: BAT_SLICE,
      capacity: CACHED_SLICES,
      locate: (slice) => regions.bat.offset + slice * BAT_SLICE,
      loadEvent: 'l2_load',
      updateEvent: 'l2_update',
    });
  }

  get blocks(): number {
    return Math.ceil(this.metadata.virtualSize / this.metadata.blockSize);
  }

  get dirty(): boolean {
    return this.#cache.dirtyCount > 0;
  }

  /** Number of a block's entry in the table. */
  #indexOf(block: number): number {
    return block + Math.floor(block / this.#ratio);
  }

  /** Number of the slice that has a block's entry. */
  sliceOf(block: number): number {
    return Math.floor(this.#indexOf(block) / ENTRIES_PER_SLICE);
  }

  /** @returns a slot for `placeIn`, or -1 when the slice is not in memory */
  lookup(slice: number): number {
    return this.#cache.lookup(slice);
  }

  load(slice: number): Co<number> {
    return this.#cache.load(slice);
  }

  #entryAt(slot: number, block: number): number {
    return this.#cache.start(slot) + (this.#indexOf(block) % ENTRIES_PER_SLICE) * BAT_ENTRY_LENGTH;
  }

  /**
   * Where a block is.
   *
   * @param slot of the slice that has its entry @returns bytes in the file, `NO_PLACE` or `ZERO_PLACE`
   * @throws BlockError `corrupt` when it cannot be there
   */
  placeIn(slot: number, block: number): number {
    const entry = decodeEntry(this.#cache.view(slot), this.#entryAt(slot, block));
    if (isWithoutData(entry.state)) return entry.state === BLOCK_ZERO ? ZERO_PLACE : NO_PLACE;
    const fault = this.faultOf(block, entry);
    if (fault === undefined) return entry.offset;
    throw new BlockError('corrupt', fault, { offset: block * this.metadata.blockSize });
  }

  /** @returns what is wrong with the entry of a block that has data, in words, or undefined */
  faultOf(block: number, { state, offset }: BatEntry): string | undefined {
    const { blockSize, virtualSize } = this.metadata;
    const name = `VHDX BAT entry ${this.#indexOf(block)}`;
    if (state === BLOCK_PARTIALLY_PRESENT) return `${name} is partially present, and the disk has no parent`;
    if (state !== BLOCK_FULLY_PRESENT) return `${name} has state ${state}, which does not exist`;
    const end = offset + blockSize;
    const region = this.#regions.occupied.find((other) => offset < other.offset + other.length && end > other.offset);
    if (region !== undefined) return `${name} offset ${offset} lies over the ${region.name}`;
    // The last block of a fixed disk may end where the disk does.
    const used = Math.min(blockSize, virtualSize - block * blockSize);
    const { length } = this.file;
    if (offset + used <= length) return undefined;
    return `${name} offset ${offset} points after the end of the file (${length} bytes): it was cut off`;
  }

  /** Makes an entry lead to data. Under the image's lock. */
  *set(block: number, offset: number, log: LogWriter): Co<void> {
    const slot = yield* this.#slotForWriting(this.sliceOf(block), log);
    encodeEntry(this.#cache.view(slot), this.#entryAt(slot, block), { state: BLOCK_FULLY_PRESENT, offset });
    this.#cache.markDirty(slot);
  }

  /** No more slices are changed than one entry of the log takes. */
  *#slotForWriting(slice: number, log: LogWriter): Co<number> {
    const slot = yield* this.load(slice);
    if (this.#cache.isDirty(slot) || this.#cache.dirtyCount < MAX_LOGGED_SECTORS) return slot;
    yield* this.writeBack(log);
    return yield* this.load(slice);
  }

  /**
   * Makes everything stable: first what entries lead to, then the entries, by way of the log. Under the image's lock. What fails
   * stays to be written.
   */
  *writeBack(log: LogWriter): Co<void> {
    yield* settle(this.file.flush());
    if (!this.dirty) return;
    yield* log.write(this.#cache.dirtySlices().map(({ place, bytes }) => ({ fileOffset: place, bytes })));
    this.#cache.keepWritten();
  }
}

/** Where the next new block goes: behind everything. @throws BlockError `no-space` when no block can be there */
export function placeBehind(end: number, blockSize: number): number {
  const offset = Math.ceil(end / MIB) * MIB;
  if (offset + blockSize > MAX_FILE_LENGTH) {
    throw new BlockError('no-space', `The file of the VHDX image would be longer than ${MAX_FILE_LENGTH} bytes`);
  }
  return offset;
}

/**
 * Disks in blocks of one size, and a single table that says where each is: VDI, VHD, Parallels.
 *
 * New blocks are taken behind all others. A flush first makes them stable, and only then writes the entries that lead to them: a
 * power cut leaves at most space that nothing leads to.
 */
import { chain, CoMutex, settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { Allocation, BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { backingExtent, dataExtent, zeroExtent, type Extent } from '../../extent.ts';
import type { NumberTable } from './table-bytes.ts';

/** What `decode` answers for a block that has no place in the file. */
export const UNALLOCATED = -1;
/** The same, and the block is zero whatever a backing file holds. */
export const ZERO = -2;

/** What a format has of its own. */
export interface BlockTableSettings {
  readonly file: BlockChild;
  readonly table: NumberTable;
  /** Bytes of a block. */
  readonly blockSize: number;
  /** Bytes from one new block to the next; default: `blockSize`. */
  readonly stride?: number;
  /** Bytes of a block's own metadata in front of its data. Default: none. */
  readonly prefix?: number;
  /** Where the first new block goes. */
  readonly end: number;
  /** Data of a block begins below this, or no entry could lead there. Default: no limit. */
  readonly limit?: number;
  /** @returns where the block's data is in the file, `UNALLOCATED` or `ZERO`. The place is checked by the caller of `decode` */
  decode(entry: number): number;
  /** The entry for data at a place. */
  encode(hostOffset: number): number;
  /** The entry for a block of zeroes, where the format has one. */
  readonly zeroEntry?: number;
  /** Writes what stands in front of the data of a new block. */
  writePrefix?(hostOffset: number): Co<void>;
  /** Writes what must be in the file before an entry leads to a new block; it is made stable together with the data. */
  beforePublishing?(end: number): Co<void>;
}

export class BlockTable {
  readonly lock = new CoMutex();
  readonly #settings: BlockTableSettings;
  readonly #table: NumberTable;
  #end: number;
  #publishedEnd: number;
  /** Places of blocks that were taken, and whose writes failed. */
  readonly #returned: number[] = [];

  constructor(settings: BlockTableSettings) {
    this.#settings = settings;
    this.#table = settings.table;
    this.#end = settings.end;
    this.#publishedEnd = settings.end;
  }

  /** Where the next new block goes. */
  get end(): number {
    return this.#end;
  }

  /** A check has moved blocks or cut the file off, while none was being written. */
  endsAt(end: number): void {
    this.#end = end;
    this.#returned.length = 0;
  }

  /** @returns one extent from the offset on. @throws BlockError `corrupt` for a block that is not wholly in the file */
  map(offset: number, length: number): Extent {
    const { blockSize, file } = this.#settings;
    const inBlock = offset % blockSize;
    const index = Math.floor(offset / blockSize);
    const first = this.#place(index);
    const step = first >= 0 ? (this.#settings.stride ?? blockSize) : 0;
    // Data of several blocks is one run only where nothing stands between them.
    const joins = step === 0 || step === blockSize;
    const wanted = joins ? Math.ceil((inBlock + length) / blockSize) : 1;
    let run = 1;
    while (run < wanted && this.#place(index + run) === first + run * step) run++;
    const covered = Math.min(length, run * blockSize - inBlock);
    if (first === UNALLOCATED) return backingExtent(covered);
    if (first === ZERO) return zeroExtent(covered);
    // Of a block that the end of the file cuts, what is behind the end is not zero: it is lost.
    const inFile = file.length - first - inBlock;
    if (inFile <= 0) throw this.#lost(index, first);
    return dataExtent(file, first + inBlock, Math.min(covered, inFile), true);
  }

  #place(index: number): number {
    const { decode, file, blockSize } = this.#settings;
    const place = decode(this.#table.get(index));
    if (place < 0) return place;
    if (!Number.isSafeInteger(place + blockSize) || place >= file.length) throw this.#lost(index, place);
    return place;
  }

  #lost(index: number, place: number): BlockError {
    const { file, blockSize } = this.#settings;
    return new BlockError(
      'corrupt',
      `Block ${index} should be at ${place} in the file, which has only ${file.length} bytes: it was cut off, or the table is damaged`,
      { offset: index * blockSize },
    );
  }

  /** One block for a write into it. */
  allocate(offset: number, length: number): MaybePromise<Allocation> {
    return start(this.lock.run(() => this.#allocate(offset, length)));
  }

  *#allocate(offset: number, length: number): Co<Allocation> {
    const { blockSize, file, prefix = 0, stride = blockSize, writePrefix } = this.#settings;
    const inBlock = offset % blockSize;
    const covered = Math.min(length, blockSize - inBlock);
    const host = this.#take(prefix, stride);
    if (writePrefix !== undefined) yield* this.#orReturn(host, writePrefix(host));
    return {
      child: file,
      hostOffset: host + inBlock,
      length: covered,
      copyBefore: inBlock,
      copyAfter: blockSize - inBlock - covered,
      // All of it is written: programs take a block for damaged that the end of the file cuts off.
      zeroed: false,
      commit: () =>
        start(this.lock.run(() => this.#publish(Math.floor(offset / blockSize), 1, this.#settings.encode(host)))),
      abort: () => {
        this.#returned.push(host);
      },
    };
  }

  #take(prefix: number, stride: number): number {
    const returned = this.#returned.pop();
    if (returned !== undefined) return returned;
    const host = this.#end + prefix;
    const { limit = Number.MAX_SAFE_INTEGER } = this.#settings;
    if (host >= limit || !Number.isSafeInteger(this.#end + stride)) {
      throw new BlockError('no-space', `The image would reach beyond ${limit} bytes, where its table cannot lead`);
    }
    this.#end += stride;
    return host;
  }

  *#orReturn(host: number, work: Co<void>): Co<void> {
    try {
      yield* work;
    } catch (error) {
      this.#returned.push(host);
      throw error;
    }
  }

  /** Under the lock: an entry that changes while others are being written would go down before its data does. */
  #publish(first: number, count: number, entry: number): void {
    for (let index = first; index < first + count; index++) this.#table.set(index, entry);
  }

  /**
   * Marks whole blocks as zeroes where they have no place in the file.
   *
   * @param backed a backing file would show through where nothing is marked
   * @returns bytes done; 0: zeroes must be written as data
   */
  markZero(offset: number, length: number, backed: boolean): MaybePromise<number> {
    const extent = this.map(offset, length);
    if (extent.kind === 'data') return 0;
    if (extent.kind === 'zero' || !backed) return extent.length;
    const { zeroEntry, blockSize } = this.#settings;
    if (zeroEntry === undefined) return 0;
    const first = Math.floor(offset / blockSize);
    const count = Math.ceil((offset + extent.length) / blockSize) - first;
    const published = start(this.lock.run(() => this.#publish(first, count, zeroEntry)));
    return chain(published, () => extent.length);
  }

  flush(): MaybePromise<void> {
    return start(this.lock.run(() => this.writeBack()));
  }

  /** Under the lock. What fails stays to be written. */
  *writeBack(): Co<void> {
    const { file, beforePublishing } = this.#settings;
    if (this.#table.dirty && this.#end !== this.#publishedEnd && beforePublishing !== undefined) {
      yield* beforePublishing(this.#end);
    }
    yield* settle(file.flush());
    if (!this.#table.dirty) return;
    yield* this.#table.writeDirty(file);
    yield* settle(file.flush());
    this.#table.keepWritten();
    this.#publishedEnd = this.#end;
  }
}

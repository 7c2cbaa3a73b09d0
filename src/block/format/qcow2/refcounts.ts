/**
 * How often each cluster of the file is used: the refcount table in memory, and a cache of slices of its blocks. All of it is
 * used under the image's metadata lock.
 *
 * A count that grows may reach the disk at any time: a power cut then leaks a cluster, which does no harm. A count is taken back
 * only when nothing on stable storage refers to the cluster any more. So slices of blocks may be written whenever it is handy.
 *
 * Source: qcow2 specification, "Host cluster management".
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SliceCache } from '../shared/slice-cache.ts';
import { EntryTable } from './entry-table.ts';
import { ENTRY_OFFSET_LOW, REFCOUNT_TABLE_RESERVED_LOW } from './layout.ts';
import { refcountValues, type RefcountValues } from './refcount-values.ts';

export interface RefcountSettings {
  readonly file: BlockChild;
  readonly clusterSize: number;
  readonly refcountBits: number;
  /** Where the table is, and what is in it. */
  readonly tableOffset: number;
  readonly tableBytes: Uint8Array<ArrayBuffer>;
  /** Slices. */
  readonly capacity: number;
  readonly sliceBytes: number;
}

/** A place for `count` clusters. */
export interface FreeRun {
  /** Cluster number. */
  readonly first: number;
  /** The first free cluster that was seen, which may be one before the run: a hole too small for it. */
  readonly firstFree: number;
}

export class Refcounts {
  readonly countsPerBlock: number;
  readonly cache: SliceCache;
  table: EntryTable;
  readonly #settings: RefcountSettings;
  readonly #file: BlockChild;
  readonly #clusterSize: number;
  readonly #values: RefcountValues;
  readonly #countsPerSlice: number;

  constructor(settings: RefcountSettings) {
    const { file, clusterSize, refcountBits, tableOffset, tableBytes, capacity, sliceBytes } = settings;
    this.#settings = settings;
    this.#file = file;
    this.#clusterSize = clusterSize;
    this.countsPerBlock = (clusterSize * 8) / refcountBits;
    this.#values = refcountValues(refcountBits, sliceBytes);
    this.#countsPerSlice = this.#values.perBlock;
    this.table = new EntryTable(tableOffset, tableBytes);
    this.cache = new SliceCache({
      file,
      sliceBytes,
      capacity,
      locate: (key) => this.#locate(key),
      loadEvent: 'refblock_load',
      updateEvent: 'refblock_update_part',
    });
  }

  /** Counts of the same form over the same file, which have no blocks yet. */
  withoutBlocks(): Refcounts {
    return new Refcounts({ ...this.#settings, tableOffset: 0, tableBytes: new Uint8Array(this.table.length) });
  }

  #locate(key: number): number {
    const slicesPerBlock = this.#clusterSize / this.cache.sliceBytes;
    const block = this.blockOffset(Math.floor(key / slicesPerBlock));
    return block === 0 ? 0 : block + (key % slicesPerBlock) * this.cache.sliceBytes;
  }

  /**
   * Where a refcount block is, in bytes; 0: there is none, and its counts are all 0.
   *
   * @throws BlockError `corrupt` when the table's entry cannot be
   */
  blockOffset(block: number): number {
    if (block >= this.table.entries) return 0;
    const low = this.table.low(block);
    const offset = this.table.high(block) * 2 ** 32 + ((low & ENTRY_OFFSET_LOW) >>> 0);
    if (
      (low & REFCOUNT_TABLE_RESERVED_LOW) !== 0 ||
      offset % this.#clusterSize !== 0 ||
      !Number.isSafeInteger(offset)
    ) {
      throw new BlockError(
        'corrupt',
        `Entry ${block} of the refcount table leads to ${offset}, where no refcount block can be: check the image with repair`,
      );
    }
    return offset;
  }

  setBlockOffset(block: number, offset: number): void {
    this.table.set(block, Math.floor(offset / 2 ** 32), offset % 2 ** 32);
  }

  /** The offsets of all blocks; entries that cannot be are left out. */
  *blockOffsets(): Generator<number> {
    for (let block = 0; block < this.table.entries; block++) {
      if (this.table.high(block) === 0 && this.table.low(block) === 0) continue;
      yield this.table.high(block) * 2 ** 32 + ((this.table.low(block) & ENTRY_OFFSET_LOW) >>> 0);
    }
  }

  /** The largest count there can be. */
  get largest(): number {
    return this.#values.largest;
  }

  /** How often a cluster is used. */
  *get(cluster: number): Co<number> {
    const slot = yield* this.cache.load(Math.floor(cluster / this.#countsPerSlice));
    return slot < 0 ? 0 : this.#values.get(this.cache.view(slot), this.#indexIn(slot, cluster));
  }

  /** Where a cluster's count is in the view of its slot, counted in counts. */
  #indexIn(slot: number, cluster: number): number {
    return this.cache.start(slot) * (this.#countsPerSlice / this.cache.sliceBytes) + (cluster % this.#countsPerSlice);
  }

  /**
   * Counts the clusters from `first` on up or down by one, as many as one slice holds.
   *
   * @param visit is told of each cluster's new count
   * @returns how many clusters were done, 1 or more
   * @throws BlockError `corrupt` when a count would become negative or there is no block for it, `unsupported` when it would
   *   no longer fit; then nothing has changed
   */
  *change(first: number, count: number, delta: 1 | -1, visit?: (cluster: number, now: number) => void): Co<number> {
    if (this.cache.dirtyCount >= this.cache.capacity / 2) yield* this.relieve();
    const slot = yield* this.cache.load(Math.floor(first / this.#countsPerSlice));
    if (slot < 0) throw wrongCount(first, 0);
    const view = this.cache.view(slot);
    const start = this.#indexIn(slot, first);
    const done = Math.min(count, this.#countsPerSlice - (first % this.#countsPerSlice));
    for (let at = 0; at < done; at++) {
      const now = this.#values.get(view, start + at) + delta;
      if (now < 0 || now > this.#values.largest) throw wrongCount(first + at, now - delta);
    }
    for (let at = 0; at < done; at++) {
      const now = this.#values.get(view, start + at) + delta;
      this.#values.set(view, start + at, now);
      visit?.(first + at, now);
    }
    this.cache.markDirty(slot);
    return done;
  }

  /** A copy of a block as it is now. */
  *blockBytes(block: number): Co<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(this.#clusterSize);
    const { sliceBytes } = this.cache;
    const slices = this.#clusterSize / sliceBytes;
    for (let index = 0; index < slices; index++) {
      const slot = yield* this.cache.load(block * slices + index);
      if (slot >= 0) bytes.set(this.cache.bytes(slot), index * sliceBytes);
    }
    return bytes;
  }

  /** Visits the clusters from `first` up to, without, `end` that are in use. */
  *eachUsed(first: number, end: number, visit: (cluster: number, count: number) => void): Co<void> {
    for (let cluster = first; cluster < end;) {
      const key = Math.floor(cluster / this.#countsPerSlice);
      const stop = Math.min(end, (key + 1) * this.#countsPerSlice);
      const slot = yield* this.cache.load(key);
      if (slot >= 0) {
        const view = this.cache.view(slot);
        for (let at = this.#indexIn(slot, cluster); cluster < stop; cluster++, at++) {
          const count = this.#values.get(view, at);
          if (count > 0) visit(cluster, count);
        }
      }
      cluster = stop;
    }
  }

  /** Finds `wanted` free clusters in a row, not before `from`. What no block counts is free. */
  *findRun(from: number, wanted: number): Co<FreeRun> {
    let first = from;
    let firstFree = -1;
    let cluster = from;
    while (cluster - first < wanted) {
      const key = Math.floor(cluster / this.#countsPerSlice);
      const end = (key + 1) * this.#countsPerSlice;
      const slot = yield* this.cache.load(key);
      if (slot < 0) {
        if (firstFree < 0) firstFree = cluster;
        cluster = end;
        continue;
      }
      const view = this.cache.view(slot);
      let at = this.#indexIn(slot, cluster);
      for (; cluster < end; cluster++, at++) {
        if (this.#values.get(view, at) !== 0) first = cluster + 1;
        else if (firstFree < 0) firstFree = cluster;
        if (cluster + 1 - first >= wanted) return { first, firstFree };
      }
    }
    return { first, firstFree };
  }

  /** Finds the last cluster that is in use, not behind `from`. */
  *lastUsed(from: number): Co<number> {
    for (let cluster = from; cluster >= 0;) {
      const key = Math.floor(cluster / this.#countsPerSlice);
      const slot = yield* this.cache.load(key);
      const begin = key * this.#countsPerSlice;
      const used = slot < 0 ? -1 : this.#lastUsedIn(slot, begin, cluster);
      if (used >= 0) return used;
      cluster = begin - 1;
    }
    return -1;
  }

  /** The last cluster in use from `begin` to `last`, which one slot counts; -1: none. */
  #lastUsedIn(slot: number, begin: number, last: number): number {
    const view = this.cache.view(slot);
    for (let cluster = last; cluster >= begin; cluster--) {
      if (this.#values.get(view, this.#indexIn(slot, cluster)) !== 0) return cluster;
    }
    return -1;
  }

  /** The bytes of a new block in which only some clusters count, once each. */
  newBlock(block: number, firstUsed: number, used: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#clusterSize);
    const view = new DataView(bytes.buffer);
    const begin = block * this.countsPerBlock;
    const from = Math.max(firstUsed, begin);
    const to = Math.min(firstUsed + used, begin + this.countsPerBlock);
    for (let cluster = from; cluster < to; cluster++) this.#values.set(view, cluster - begin, 1);
    return bytes;
  }

  /** Makes all slices clean, when too many are dirty. */
  *relieve(): Co<void> {
    yield* this.cache.writeDirty();
    yield* settle(this.#file.flush());
    this.cache.keepWritten();
  }
}

/** A cluster in use is not counted, or is counted as often as there is room for. */
export function wrongCount(cluster: number, count: number): BlockError {
  return count === 0
    ? new BlockError(
        'corrupt',
        `Cluster ${cluster} of the file is in use and its refcount is 0: check the image with repair`,
      )
    : new BlockError(
        'unsupported',
        `The refcount of cluster ${cluster} is ${count}; a larger one does not fit into the image's refcounts`,
      );
}

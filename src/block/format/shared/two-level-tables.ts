/**
 * Disks whose clusters are found by two levels of tables, and nothing that counts what is used: QED, qcow.
 *
 * New clusters, of data or of tables, are taken behind the end of the file. A flush first makes them stable, and only then writes
 * the entries that lead to them. A new table is zeroes by then, so entries of both levels may reach the disk in any order: a power
 * cut leaves at most clusters that nothing leads to.
 */
import { CoMutex, settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SliceCache } from './slice-cache.ts';
import type { NumberTable } from './table-bytes.ts';

/** Bytes of an entry of either table. */
const ENTRY_LENGTH = 8;
const MAX_SLICE_BYTES = 4096;
/** L2 slices in memory. */
const CACHE_BYTES = 8 * 2 ** 20;
/** An answer for tables that are not there covers so many of them at most. */
const MAX_MISSING_TABLES = 4096;

/** What a format has of its own. */
export interface TwoLevelSettings {
  readonly file: BlockChild;
  readonly l1: NumberTable;
  /** Bytes. New clusters and tables begin at a multiple of it. */
  readonly clusterSize: number;
  /** Bytes of an L2 table, a power of two. */
  readonly tableBytes: number;
  /** Whether a whole L2 table can be at an offset, in the file as it is now. */
  isTablePlace(offset: number): boolean;
}

export class TwoLevelTables {
  readonly file: BlockChild;
  readonly lock = new CoMutex();
  readonly l2: SliceCache;
  readonly entriesPerSlice: number;
  readonly entriesPerTable: number;
  /** Bytes of the disk that an L2 table describes. */
  readonly tableSpan: number;
  readonly #settings: TwoLevelSettings;
  #l1: NumberTable;
  /** Where new bytes are taken. */
  #end: number;

  constructor(settings: TwoLevelSettings) {
    const { file, l1, tableBytes, clusterSize } = settings;
    this.file = file;
    this.#settings = settings;
    this.#l1 = l1;
    this.#end = file.length;
    this.entriesPerTable = tableBytes / ENTRY_LENGTH;
    this.tableSpan = this.entriesPerTable * clusterSize;
    const sliceBytes = Math.min(MAX_SLICE_BYTES, tableBytes);
    this.entriesPerSlice = sliceBytes / ENTRY_LENGTH;
    this.l2 = new SliceCache({
      file,
      sliceBytes,
      capacity: CACHE_BYTES / sliceBytes,
      locate: (slice) => this.#locate(slice),
      loadEvent: 'l2_load',
      updateEvent: 'l2_update',
    });
  }

  get dirty(): boolean {
    return this.l2.dirtyCount > 0 || this.#l1.dirty;
  }

  /** Another L1 table, now that nothing waits to be written; nothing that the old one led to is remembered. */
  replaceL1(l1: NumberTable): void {
    this.#l1 = l1;
    this.l2.clear();
  }

  /** The file was cut off. */
  endsAt(end: number): void {
    this.#end = end;
  }

  /** @returns 0: there is no L2 table. @throws BlockError `corrupt` when there can be none at that place */
  tableOffset(l1Index: number): number {
    const offset = this.#l1.get(l1Index);
    if (offset === 0 || this.#settings.isTablePlace(offset)) return offset;
    throw new BlockError(
      'corrupt',
      `Entry ${l1Index} of the L1 table leads to ${offset}, where no L2 table can be: check the image`,
      { offset: l1Index * this.tableSpan },
    );
  }

  /** As it stands in the table, right or wrong. */
  rawTableOffset(l1Index: number): number {
    return this.#l1.get(l1Index);
  }

  setTableOffset(l1Index: number, offset: number): void {
    this.#l1.set(l1Index, offset);
  }

  /** The number of the slice that has the entry of a guest cluster. */
  sliceOf(cluster: number): number {
    return Math.floor(cluster / this.entriesPerSlice);
  }

  #locate(slice: number): number {
    const firstEntry = slice * this.entriesPerSlice;
    const table = this.tableOffset(Math.floor(firstEntry / this.entriesPerTable));
    return table === 0 ? 0 : table + (firstEntry % this.entriesPerTable) * ENTRY_LENGTH;
  }

  /** @returns bytes from a guest offset on, `length` at most, for which there is no L2 table; 0: there is one */
  missing(offset: number, length: number): number {
    const end = offset + length;
    const first = Math.floor(offset / this.tableSpan);
    let table = first;
    while (table - first < MAX_MISSING_TABLES && table * this.tableSpan < end && this.tableOffset(table) === 0) table++;
    return table === first ? 0 : Math.min(table * this.tableSpan, end) - offset;
  }

  /** Takes clusters in a row behind the end of the file. @returns where they begin */
  take(clusters: number): number {
    const { clusterSize } = this.#settings;
    const over = this.#end % clusterSize;
    if (over !== 0) this.takeBytes(clusterSize - over);
    return this.takeBytes(clusters * clusterSize);
  }

  /** Takes bytes behind the end of the file. @returns where they begin. @throws BlockError `no-space` */
  takeBytes(length: number): number {
    const offset = this.#end;
    if (!Number.isSafeInteger(offset + length)) {
      throw new BlockError('no-space', 'The image would reach beyond 2^53 bytes');
    }
    this.#end = offset + length;
    return offset;
  }

  /** The slot of a slice, its table made if there is none. Use it before the next wait. */
  *slotForWriting(slice: number): Co<number> {
    if (this.l2.dirtyCount >= this.l2.capacity / 2) yield* this.writeBack();
    const l1Index = Math.floor((slice * this.entriesPerSlice) / this.entriesPerTable);
    if (this.tableOffset(l1Index) === 0) yield* this.#makeTable(l1Index);
    return yield* this.l2.load(slice);
  }

  *#makeTable(l1Index: number): Co<void> {
    const { tableBytes, clusterSize } = this.#settings;
    const offset = this.take(Math.ceil(tableBytes / clusterSize));
    this.file.event('l2_alloc_write');
    yield* settle(this.file.writeZeroes(offset, tableBytes));
    this.#l1.set(l1Index, offset);
  }

  /** Writes what changed; on stable storage when it returns. What fails stays to be written. */
  *writeBack(): Co<void> {
    yield* settle(this.file.flush());
    if (!this.dirty) return;
    yield* this.l2.writeDirty();
    yield* this.#l1.writeDirty(this.file, 'l1_update');
    yield* settle(this.file.flush());
    this.l2.keepWritten();
    this.#l1.keepWritten();
  }
}

/**
 * The tables of an opened image, and the order in which they reach the disk.
 *
 * New clusters, of data or of tables, are taken behind the end of the file. A flush first makes them stable, and only then writes
 * the entries that lead to them. So a power cut leaves at most clusters that nothing leads to, and the image need not be marked
 * as one that must be checked: QEMU, which writes tables as it goes, sets that mark (NEED_CHECK) before the first of them.
 */
import { CoMutex, settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { SliceCache } from '../shared/slice-cache.ts';
import { NumberTable } from '../shared/table-bytes.ts';
import { isTablePlace, tableEntries, tableSpan, type QedHeader } from './header.ts';
import { ENTRY_LENGTH } from './layout.ts';

const SLICE_BYTES = 4096;
/** L2 slices in memory: 8 MiB of them. */
const SLICES = 2048;

export class QedTables {
  readonly file: BlockChild;
  readonly lock = new CoMutex();
  readonly l2: SliceCache;
  header: QedHeader;
  readonly #entriesPerTable: number;
  readonly #span: number;
  #l1: NumberTable;
  /** Where the next cluster is taken. */
  #end: number;

  private constructor(file: BlockChild, header: QedHeader, l1: NumberTable) {
    this.file = file;
    this.header = header;
    this.#l1 = l1;
    this.#entriesPerTable = tableEntries(header);
    this.#span = tableSpan(header);
    this.#end = roundUp(file.length, header.clusterSize);
    this.l2 = new SliceCache({
      file,
      sliceBytes: SLICE_BYTES,
      capacity: SLICES,
      locate: (slice) => this.#locate(slice),
      loadEvent: 'l2_load',
      updateEvent: 'l2_update',
    });
  }

  static *load(file: BlockChild, header: QedHeader): Co<QedTables> {
    return new QedTables(file, header, yield* readL1(file, header));
  }

  /** The disk has grown: more of the L1 table is of use, and no entry may wait to be written. */
  *grow(header: QedHeader): Co<void> {
    this.header = header;
    this.#l1 = yield* readL1(this.file, header);
  }

  get dirty(): boolean {
    return this.l2.dirtyCount > 0 || this.#l1.dirty;
  }

  get entriesPerSlice(): number {
    return SLICE_BYTES / ENTRY_LENGTH;
  }

  get l1Entries(): number {
    return Math.ceil(this.header.imageSize / this.#span);
  }

  /** @returns 0: there is no L2 table. @throws BlockError `corrupt` when there can be none at that place */
  tableOffset(l1Index: number): number {
    const offset = this.#l1.get(l1Index);
    if (offset === 0 || isTablePlace(this.header, offset, this.file.length)) return offset;
    throw new BlockError(
      'corrupt',
      `Entry ${l1Index} of the L1 table leads to ${offset}, where no L2 table can be: check the image`,
      { offset: l1Index * this.#span },
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
    const table = this.tableOffset(Math.floor(firstEntry / this.#entriesPerTable));
    return table === 0 ? 0 : table + (firstEntry % this.#entriesPerTable) * ENTRY_LENGTH;
  }

  /** Takes clusters in a row behind the end of the file. @returns where they begin */
  take(clusters: number): number {
    const offset = this.#end;
    const end = offset + clusters * this.header.clusterSize;
    if (!Number.isSafeInteger(end)) throw new BlockError('no-space', 'The image would reach beyond 2^53 bytes');
    this.#end = end;
    return offset;
  }

  /** The slot of a slice, its table made if there is none. Use it before the next wait. */
  *slotForWriting(slice: number): Co<number> {
    if (this.l2.dirtyCount >= SLICES / 2) yield* this.writeBack();
    const l1Index = Math.floor((slice * this.entriesPerSlice) / this.#entriesPerTable);
    if (this.tableOffset(l1Index) === 0) yield* this.#makeTable(l1Index);
    return yield* this.l2.load(slice);
  }

  *#makeTable(l1Index: number): Co<void> {
    const { tableSize, clusterSize } = this.header;
    const offset = this.take(tableSize);
    this.file.event('l2_alloc_write');
    yield* settle(this.file.writeZeroes(offset, tableSize * clusterSize));
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

/** Only as much of the table as the disk's size has use for: a header may claim a table of a gigabyte. */
function* readL1(file: BlockChild, header: QedHeader): Co<NumberTable> {
  const entries = Math.ceil(header.imageSize / tableSpan(header));
  const bytes = new Uint8Array(roundUp(Math.max(1, entries) * ENTRY_LENGTH, SECTOR_SIZE));
  yield* settle(file.read(header.l1TableOffset, bytes));
  return new NumberTable(header.l1TableOffset, bytes, { bytes: 8, littleEndian: true });
}

function roundUp(value: number, unit: number): number {
  return value + ((unit - (value % unit)) % unit);
}

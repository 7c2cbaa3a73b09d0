/**
 * The grain directory and the grain tables of an opened sparse extent, and the order in which they reach the disk.
 *
 * New grains are taken behind the end of the file. A flush first makes them stable, and only then writes the entries that lead to
 * them, into both copies of the tables. So a power cut leaves at most grains that nothing leads to, or that one of the two copies
 * does not know yet.
 */
import { CoMutex, settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { SliceCache } from '../shared/slice-cache.ts';
import { NumberTable } from '../shared/table-bytes.ts';
import { ENTRY_LENGTH, ENTRY_ZERO, MAX_SECTOR } from './layout.ts';
import { isDirectoryPlace, type SparseHeader } from './sparse-header.ts';
import { roundUp } from '../../../binary/round-up.ts';

const MIN_TABLES = 4;

export class SparseTables {
  readonly file: BlockChild;
  readonly header: SparseHeader;
  readonly lock = new CoMutex();
  readonly cache: SliceCache;
  readonly #main: NumberTable | undefined;
  readonly #redundant: NumberTable | undefined;
  readonly #tableBytes: number;
  /** Where the next grain is taken. */
  #end: number;

  private constructor(
    file: BlockChild,
    header: SparseHeader,
    main: NumberTable | undefined,
    redundant: NumberTable | undefined,
    cacheBytes: number,
  ) {
    this.file = file;
    this.header = header;
    this.#main = main;
    this.#redundant = redundant;
    this.#tableBytes = header.entriesPerTable * ENTRY_LENGTH;
    this.#end = roundUp(file.length, header.compressed ? SECTOR_SIZE : header.grainSize);
    this.cache = new SliceCache({
      file,
      sliceBytes: this.#tableBytes,
      capacity: Math.max(MIN_TABLES, Math.floor(cacheBytes / this.#tableBytes)),
      locate: (table) => this.tablePlace(table),
      ...(redundant !== undefined && { mirror: (table: number) => this.#mirrorPlace(table) }),
      loadEvent: 'l2_load',
      updateEvent: 'l2_update',
    });
  }

  /** @param cacheBytes what may be held of grain tables */
  static *load(file: BlockChild, header: SparseHeader, cacheBytes: number): Co<SparseTables> {
    const { directory, redundantDirectory } = header;
    const main = yield* readDirectory(file, header, directory);
    const redundant =
      redundantDirectory === undefined ? undefined : yield* readDirectory(file, header, redundantDirectory);
    return new SparseTables(file, header, main, redundant, cacheBytes);
  }

  /** The place of a grain table as the directory has it, or if that cannot be as its copy has it; 0: there is none. */
  tablePlace(table: number): number {
    const place = placeIn(this.#main, table);
    if (place === 0 || this.#isTablePlace(place)) return place;
    const other = placeIn(this.#redundant, table);
    if (other > 0 ? this.#isTablePlace(other) : other === 0 && place < 0) return other;
    const { grainSize, entriesPerTable } = this.header;
    const found = place < 0 ? 'is lost' : `should be at ${place}`;
    throw new BlockError(
      'corrupt',
      `Grain table ${table} ${found}, in a file of ${this.file.length} bytes: it was cut off, or its directory is damaged`,
      { offset: table * grainSize * entriesPerTable },
    );
  }

  #mirrorPlace(table: number): number {
    const place = placeIn(this.#redundant, table);
    return place > 0 && place !== this.tablePlace(table) && this.#isTablePlace(place) ? place : 0;
  }

  #isTablePlace(place: number): boolean {
    return place >= SECTOR_SIZE && place + this.#tableBytes <= this.file.length;
  }

  /** @returns where a grain is in the file; 0: it is not there; 1: it is zero. @throws BlockError `corrupt` */
  grainPlace(slot: number, index: number, guestOffset: number): number {
    const entry = this.entry(slot, index);
    if (entry === 0) return 0;
    const { zeroedGrains, compressed, grainSize, capacity } = this.header;
    if (entry === ENTRY_ZERO && zeroedGrains) return ENTRY_ZERO;
    const place = entry * SECTOR_SIZE;
    const needed = compressed ? 1 : Math.min(grainSize, capacity - (guestOffset - (guestOffset % grainSize)));
    if (entry > 1 && place + needed <= this.file.length) return place;
    throw new BlockError(
      'corrupt',
      `The grain at offset ${guestOffset} should be at ${place}, and the file has only ${this.file.length} bytes: it was cut off, or ` +
        'the grain table is damaged',
      { offset: guestOffset },
    );
  }

  /** As it stands in the table, right or wrong: a sector. */
  entry(slot: number, index: number): number {
    return this.cache.view(slot).getUint32(this.cache.start(slot) + index * ENTRY_LENGTH, true);
  }

  setEntry(slot: number, index: number, sector: number): void {
    this.cache.view(slot).setUint32(this.cache.start(slot) + index * ENTRY_LENGTH, sector, true);
    this.cache.markDirty(slot);
  }

  /** Takes bytes behind the end of the file. @returns where they begin. @throws BlockError `no-space` */
  take(length: number): number {
    const offset = this.#end;
    if (offset / SECTOR_SIZE > MAX_SECTOR) {
      throw new BlockError('no-space', 'Grain tables cannot lead to a place beyond 2 TiB in the file of an extent');
    }
    this.#end = offset + roundUp(length, SECTOR_SIZE);
    return offset;
  }

  /** The slot of a grain table, made if there is none. Use it before the next wait. */
  *slotForWriting(table: number): Co<number> {
    if (this.cache.dirtyCount >= this.cache.capacity / 2) yield* this.writeBack();
    if (this.tablePlace(table) === 0) yield* this.#makeTable(table);
    return yield* this.cache.load(table);
  }

  *#makeTable(table: number): Co<void> {
    const length = roundUp(this.#tableBytes, SECTOR_SIZE);
    const copies = this.#redundant === undefined ? 1 : 2;
    // A whole grain, so that those behind it stay where programs expect them.
    const place = this.take(roundUp(copies * length, this.header.compressed ? SECTOR_SIZE : this.header.grainSize));
    this.file.event('l2_alloc_write');
    yield* settle(this.file.writeZeroes(place, this.#end - place));
    this.#main?.set(table, place / SECTOR_SIZE);
    this.#redundant?.set(table, (place + length) / SECTOR_SIZE);
  }

  get dirty(): boolean {
    return this.cache.dirtyCount > 0 || this.#main?.dirty === true || this.#redundant?.dirty === true;
  }

  /** Writes what changed; on stable storage when it returns. What fails stays to be written. */
  *writeBack(): Co<void> {
    yield* settle(this.file.flush());
    if (!this.dirty) return;
    yield* this.cache.writeDirty();
    if (this.#redundant !== undefined) yield* this.#redundant.writeDirty(this.file, 'l1_update');
    if (this.#main !== undefined) yield* this.#main.writeDirty(this.file, 'l1_update');
    yield* settle(this.file.flush());
    this.cache.keepWritten();
    this.#redundant?.keepWritten();
    this.#main?.keepWritten();
  }
}

/** -1: there is no directory that could say it. */
function placeIn(directory: NumberTable | undefined, table: number): number {
  return directory === undefined ? -1 : directory.get(table) * SECTOR_SIZE;
}

function* readDirectory(file: BlockChild, header: SparseHeader, offset: number): Co<NumberTable | undefined> {
  if (!isDirectoryPlace(header, offset, file.length)) return undefined;
  const bytes = new Uint8Array(roundUp(Math.max(1, header.entries) * ENTRY_LENGTH, SECTOR_SIZE));
  yield* settle(file.read(offset, bytes));
  return new NumberTable(offset, bytes, { bytes: 4, littleEndian: true });
}

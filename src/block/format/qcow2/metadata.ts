/**
 * An opened image's tables in memory, and the order in which they reach the disk.
 *
 * Between two flushes a storage may keep any of the writes and lose the others. So that no power cut loses a flushed byte or
 * shows another cluster's bytes, changes are written in steps with a flush (a barrier) between them:
 *
 *   1. guest data and copied edges (written at once, by the core), new L2 tables, new refcount blocks and counts
 *   2. only if there are any: refcount table entries, which lead to new blocks; then the header, which leads to new tables
 *   3. what leads to data: L2 entries, L1 entries
 *   4. only then are clusters that lost their last use taken for free, and may be used again
 *
 * An external data file is flushed before step 1.
 *
 * Until step 3 nothing on disk refers to what is new; until step 4 nothing overwrites what was referred to before. With lazy
 * refcounts the counts are left out of step 1; the dirty bit, which goes with step 2, says so.
 */
import { CoMutex, settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { ClusterAllocator } from './allocator.ts';
import { SliceCache } from '../shared/slice-cache.ts';
import { EntryTable } from './entry-table.ts';
import { geometryOf, type Geometry } from './geometry.ts';
import { encodeFields, type Qcow2Header } from './header.ts';
import {
  ENTRY_LENGTH,
  ENTRY_COPIED,
  ENTRY_OFFSET_HIGH,
  ENTRY_OFFSET_LOW,
  HEADER_LENGTH_V2,
  HEADER_LENGTH_V3,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DIRTY,
  L1_RESERVED_HIGH,
  L1_RESERVED_LOW,
  L2_ZERO,
} from './layout.ts';
import {
  entryHigh,
  entryLow,
  hostClusters,
  NO_BITS,
  ownedHigh,
  type ClusterEntry,
  type ClusterPlace,
  type SubclusterBits,
} from './l2-entry.ts';
import { readInactiveL2 } from './inactive-tables.ts';
import type { MetadataSettings } from './metadata-settings.ts';
import { PendingFrees } from './pending-frees.ts';
import { MetadataPlaces } from './places.ts';
import { Refcounts } from './refcounts.ts';
import type { SnapshotEntry } from './snapshot-entry.ts';
import type { WholeTables } from './whole-tables.ts';

export class Metadata {
  readonly file: BlockChild;
  /** Where guest data is: `file`, or the external data file. */
  readonly dataStore: BlockChild;
  settings: MetadataSettings;
  geometry: Geometry;
  /** Held by everything that changes tables. Reading the cached mapping needs no lock. */
  readonly lock = new CoMutex();
  readonly l2: SliceCache;
  readonly frees = new PendingFrees();
  readonly places: MetadataPlaces;
  readonly allocator: ClusterAllocator;
  l1: EntryTable;
  /** The internal snapshots, oldest first. */
  snapshots: readonly SnapshotEntry[] = [];
  /** Bytes that their table takes in the file. */
  snapshotTableLength = 0;
  #refcounts: Refcounts | undefined;
  #header: Qcow2Header;
  /** The header as it is on the disk. */
  #writtenHeader: Qcow2Header;
  /** The dirty bit was set here, so the refcounts are known: it can be taken back. */
  #announcedCounts = false;
  /** Counts may be too large: the dirty bit stays, so that the next who opens the image corrects them. */
  #countsDoubtful = false;
  #writeError: BlockError | undefined;

  constructor(settings: MetadataSettings, header: Qcow2Header, tables: WholeTables) {
    this.settings = settings;
    this.file = settings.file;
    this.dataStore = settings.dataFile?.child ?? settings.file;
    this.#header = header;
    this.#writtenHeader = header;
    this.#writeError = settings.obstacle ?? tables.snapshotFault;
    this.geometry = geometryOf(header, settings.sliceBytes);
    this.l1 = new EntryTable(header.l1TableOffset, tables.l1);
    this.l2 = new SliceCache({
      file: settings.file,
      sliceBytes: settings.sliceBytes,
      capacity: settings.l2Slices,
      locate: (slice) => this.#locateSlice(slice),
      loadEvent: 'l2_load',
      updateEvent: 'l2_update',
    });
    this.places = new MetadataPlaces(this.geometry.clusterSize, settings.overlapChecks);
    this.allocator = new ClusterAllocator(this);
    if (tables.refcountTable !== undefined) this.#useRefcounts(tables.refcountTable);
    this.useSnapshots(tables.snapshots.entries, tables.snapshots.length);
  }

  #useRefcounts(tableBytes: Uint8Array<ArrayBuffer>): void {
    const { clusterSize } = this.geometry;
    this.#refcounts = new Refcounts({
      file: this.file,
      clusterSize,
      refcountBits: 2 ** this.#header.refcountOrder,
      tableOffset: this.#header.refcountTableOffset,
      tableBytes,
      capacity: this.settings.refcountSlices,
      sliceBytes: this.settings.refcountSliceBytes,
    });
    this.places.setRegion('main-header', 0, clusterSize);
    this.noteActiveTables();
    this.noteRefcountTablePlace();
    this.places.setRefcountBlocks(this.#refcounts.blockOffsets());
  }

  /**
   * Takes in what a repair has made of the file. Nothing may be waiting to be written.
   *
   * @param obstacle why nothing may be written still
   */
  replace(header: Qcow2Header, tables: WholeTables, obstacle: BlockError | undefined): void {
    this.adoptHeader(header);
    this.#announcedCounts = false;
    this.#countsDoubtful = false;
    this.#writeError = obstacle ?? tables.snapshotFault;
    this.l1 = new EntryTable(header.l1TableOffset, tables.l1);
    this.l2.clear();
    if (tables.refcountTable !== undefined) this.#useRefcounts(tables.refcountTable);
    this.useSnapshots(tables.snapshots.entries, tables.snapshots.length);
    this.allocator.restart();
  }

  /** Takes in what the snapshot table holds now, and how long it is. */
  useSnapshots(entries: readonly SnapshotEntry[], tableLength: number): void {
    this.snapshots = entries;
    this.snapshotTableLength = tableLength;
    this.places.setRegion('snapshot-table', this.#header.snapshotsOffset, tableLength);
    this.places.setInactiveL1Tables(entries);
  }

  /** Another L1 table is the active one, or other tables are in it. */
  noteActiveTables(): void {
    this.noteL1Place();
    this.places.setL2Tables(this.#l2Offsets());
  }

  /** The header leads to another refcount table, and perhaps says that counts are of another width. */
  useRefcountTable(tableBytes: Uint8Array<ArrayBuffer>): void {
    this.#useRefcounts(tableBytes);
    this.allocator.restart();
  }

  reconfigure(changes: Partial<MetadataSettings>): void {
    this.settings = { ...this.settings, ...changes };
  }

  /** Whether nothing has happened, and nothing was found at open, that forbids writing. */
  get intact(): boolean {
    return this.#writeError === undefined;
  }

  /** Nobody knows what of a change is on the disk: nothing more is written. */
  stopWriting(cause: unknown): void {
    this.#writeError ??= new BlockError(
      'io',
      'A change of the header failed, and it is not known whether it is on the disk: open the image again',
      {},
      { cause },
    );
  }

  noteL1Place(): void {
    this.places.setRegion('active-l1', this.l1.offset, this.l1.length);
  }

  noteRefcountTablePlace(): void {
    const { table } = this.refcounts;
    this.places.setRegion('refcount-table', table.offset, table.length);
  }

  *#l2Offsets(): Generator<number> {
    for (let index = 0; index < this.l1.entries; index++) {
      const offset = entryOffset(this.l1, index);
      if (offset !== 0) yield offset;
    }
  }

  /** Where the data of guest clusters is written and read: what stores it, through the image's encryption. */
  dataChild(hostOffset: number, guestOffset: number): BlockChild {
    return this.settings.encryption?.childAt(this.dataStore, hostOffset, guestOffset) ?? this.dataStore;
  }

  get header(): Qcow2Header {
    return this.#header;
  }

  get refcounts(): Refcounts {
    if (this.#refcounts === undefined)
      throw new BlockError('internal', 'The refcounts of a read-only image were asked for');
    return this.#refcounts;
  }

  /** Bytes of tables that the caches hold; the L1 table and the refcount table come on top. */
  get memoryBytes(): number {
    return this.l2.memoryBytes + (this.#refcounts?.cache.memoryBytes ?? 0);
  }

  // ── Looking up ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Where an L2 table is, in bytes; 0: there is none.
   *
   * @throws BlockError `corrupt` when the L1 entry contradicts the specification
   */
  tableOffset(l1Index: number): number {
    if (l1Index >= this.l1.entries) return 0;
    const high = this.l1.high(l1Index);
    const low = this.l1.low(l1Index);
    if (high === 0 && low === 0) return 0;
    const offset = entryOffset(this.l1, l1Index);
    const reserved = (high & L1_RESERVED_HIGH) !== 0 || (low & L1_RESERVED_LOW) !== 0;
    const outside = offset % this.geometry.clusterSize !== 0 || offset >= this.file.length;
    if (reserved || outside || !Number.isSafeInteger(offset)) {
      throw new BlockError(
        'corrupt',
        `Entry ${l1Index} of the L1 table ${reserved ? 'has reserved bits set' : `leads to ${offset}, where no L2 table can be`}: check the image`,
        { offset: l1Index * this.geometry.tableSpan },
      );
    }
    return offset;
  }

  #locateSlice(slice: number): number {
    const { slicesPerTable } = this.geometry;
    const table = this.tableOffset(Math.floor(slice / slicesPerTable));
    return table === 0 ? 0 : table + (slice % slicesPerTable) * this.l2.sliceBytes;
  }

  // ── Changing ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @throws BlockError when the image may not be written to, or no longer */
  assertWritable(): void {
    if (this.#writeError !== undefined) throw this.#writeError;
    if (this.settings.readOnly) throw new BlockError('permission', 'The image was opened read-only');
  }

  /** Changes header fields. They reach the disk with the next flush, before anything that needs them. */
  updateHeader(changes: Partial<Qcow2Header>): void {
    this.#header = { ...this.#header, ...changes };
  }

  /** The header was written whole, and is on stable storage. */
  adoptHeader(header: Qcow2Header): void {
    this.#header = header;
    this.#writtenHeader = header;
    if (header.version !== this.geometry.version) this.geometry = { ...this.geometry, version: header.version };
  }

  /**
   * Gets an L2 slice for changing: its table exists, belongs to this disk alone, and may be written. Change it with `setCluster`
   * before the next wait.
   */
  *writableSlice(slice: number): Co<number> {
    if (this.l2.dirtyCount >= this.l2.capacity / 2 || this.frees.full) yield* this.writeBack();
    const l1Index = Math.floor(slice / this.geometry.slicesPerTable);
    const offset = this.tableOffset(l1Index);
    if (offset === 0) yield* this.#createTable(l1Index);
    else if ((this.l1.high(l1Index) & ENTRY_COPIED) === 0) yield* this.#copyTable(l1Index, offset);
    const slot = yield* this.l2.load(slice);
    if (!this.l2.marked(slot)) yield* this.#vetSlice(slot, slice);
    return slot;
  }

  /** Changes what a slice that `writableSlice` gave says of a standard cluster. */
  setCluster(slot: number, index: number, place: ClusterPlace): void {
    const isZero = this.geometry.subclusters === 1 && place.zero !== 0;
    this.setEntry(slot, index, entryHigh(place), entryLow(place.hostOffset) + (isZero ? L2_ZERO : 0), place);
  }

  /** Changes an entry of a slice that `writableSlice` gave. @param bits the second half of an extended entry */
  setEntry(slot: number, index: number, high: number, low: number, bits: SubclusterBits = NO_BITS): void {
    const { entryLength } = this.geometry;
    const at = this.l2.start(slot) + index * entryLength;
    const view = this.l2.view(slot);
    view.setUint32(at, high);
    view.setUint32(at + 4, low);
    if (entryLength > ENTRY_LENGTH) {
      view.setUint32(at + 8, bits.zero);
      view.setUint32(at + 12, bits.alloc);
    }
    this.l2.markDirty(slot);
  }

  /** An entry no longer refers to its host clusters. They are free when nothing on stable storage does. */
  giveBack(entry: ClusterEntry, passDiscard: boolean): void {
    // Nobody counts the clusters of an external data file.
    if (this.geometry.externalData) return;
    const { first, count } = hostClusters(entry, this.geometry.clusterSize);
    if (count > 0) this.frees.add(first, count, passDiscard);
  }

  *#createTable(l1Index: number): Co<void> {
    const { clusterSize } = this.geometry;
    const run = yield* this.allocator.take(1);
    const offset = run.first * clusterSize;
    try {
      this.file.event('l2_alloc_write');
      yield* settle(this.file.writeZeroes(offset, clusterSize));
    } catch (error) {
      this.frees.add(run.first, 1, false);
      throw error;
    }
    this.l1.set(l1Index, ownedHigh(offset), entryLow(offset));
    this.places.addL2Table(offset);
  }

  /** A table that others use too (or may) is copied before it is changed. */
  *#copyTable(l1Index: number, from: number): Co<void> {
    const { clusterSize, slicesPerTable } = this.geometry;
    const run = yield* this.allocator.take(1);
    const offset = run.first * clusterSize;
    try {
      const bytes = new Uint8Array(clusterSize);
      this.file.event('l2_alloc_cow_read');
      yield* settle(this.file.read(from, bytes));
      this.file.event('l2_alloc_write');
      yield* settle(this.file.write(offset, bytes));
    } catch (error) {
      this.frees.add(run.first, 1, false);
      throw error;
    }
    this.l1.set(l1Index, ownedHigh(offset), entryLow(offset));
    this.places.addL2Table(offset);
    this.places.removeL2Table(from);
    this.frees.add(from / clusterSize, 1, this.settings.passDiscardOther);
    // Slices that are cached are as good as before, but were vetted for another place.
    for (let slice = 0; slice < slicesPerTable; slice++) this.l2.unmark(l1Index * slicesPerTable + slice);
  }

  /** Before the first change of a slice: neither its table nor what its entries own may lie on other metadata. */
  *#vetSlice(slot: number, slice: number): Co<void> {
    const { clusterSize, entriesPerSlice, entryLength, externalData, slicesPerTable, sliceSpan } = this.geometry;
    const table = this.tableOffset(Math.floor(slice / slicesPerTable));
    yield* this.expectFree(table, clusterSize, 'an L2 table', true);
    const view = this.l2.view(slot);
    const entries = externalData ? 0 : entriesPerSlice;
    for (let index = 0, at = this.l2.start(slot); index < entries; index++, at += entryLength) {
      const high = view.getUint32(at);
      if ((high & ENTRY_COPIED) === 0) continue;
      const offset = (high & ENTRY_OFFSET_HIGH) * 2 ** 32 + ((view.getUint32(at + 4) & ENTRY_OFFSET_LOW) >>> 0);
      if (this.places.overlap(offset, clusterSize) === undefined) continue;
      const guest = slice * sliceSpan + index * clusterSize;
      yield* this.expectFree(offset, clusterSize, `the data of the guest cluster at offset ${guest}`);
    }
    this.l2.mark(slot);
  }

  /**
   * Before a write: no structure of the image may lie there.
   *
   * @param what is to be written, for the message
   * @throws BlockError `corrupt` when one does; the image is marked so then
   */
  *expectFree(offset: number, length: number, what: string, writesL2 = false): Co<void> {
    if (this.places.lacksInactiveL2) this.places.setInactiveL2Tables(yield* readInactiveL2(this));
    const name = this.places.overlap(offset, length, writesL2);
    if (name === undefined) return;
    yield* this.markCorrupt(
      `Preventing invalid write on metadata (overlaps with ${name}): ${what} would go to ${offset} in the file`,
    );
  }

  /**
   * Marks the image corrupt, so that nobody writes to it before it was repaired, and stops writing. QEMU: qcow2_signal_corruption.
   *
   * @throws BlockError `corrupt`, always
   */
  *markCorrupt(what: string): Co<never> {
    this.#writeError = new BlockError(
      'corrupt',
      `${what}: the image is corrupt, nothing more is written to it. Check it with repair`,
    );
    const marked = this.#writtenHeader.incompatibleFeatures | INCOMPATIBLE_CORRUPT;
    if (this.geometry.version === 3 && marked !== this.#writtenHeader.incompatibleFeatures) {
      // Only this field: other changes of the header have their turn when what they lead to is on the disk.
      yield* this.#writeHeaderFields({ ...this.#writtenHeader, incompatibleFeatures: marked });
      yield* settle(this.file.flush());
      this.#writtenHeader = { ...this.#writtenHeader, incompatibleFeatures: marked };
      this.#header = {
        ...this.#header,
        incompatibleFeatures: this.#header.incompatibleFeatures | INCOMPATIBLE_CORRUPT,
      };
    }
    throw this.#writeError;
  }

  // ── Writing back ──────────────────────────────────────────────────────────────────────────────────────────────────

  get lazy(): boolean {
    return this.settings.lazyRefcounts;
  }

  /** Before counts change that lazy refcounts leave unwritten: says so in the header. */
  announceLazyCounts(): void {
    if (this.lazy) this.announceCounts();
  }

  /** Before many counts change together: says in the header, where the format can, that they may be wrong until that is done. */
  announceCounts(): void {
    if (this.geometry.version === 2 || this.#announcedCounts) return;
    this.#announcedCounts = true;
    this.updateHeader({ incompatibleFeatures: this.#header.incompatibleFeatures | INCOMPATIBLE_DIRTY });
  }

  /** Counts were announced to change and could not all be brought to an end. */
  distrustCounts(): void {
    this.#countsDoubtful = true;
  }

  /**
   * Writes everything that changed, in the order that the head of this file describes, under the lock. What fails is dirty
   * still, and written by the next one.
   */
  *writeBack(): Co<void> {
    const { refcounts, l1, l2 } = this;
    const publishes = l2.dirtyCount > 0 || l1.dirty;
    if (this.dataStore !== this.file) yield* settle(this.dataStore.flush());
    // The last cluster is whole, though its end was never written.
    if (this.file.length < this.allocator.lengthTaken) yield* settle(this.file.truncate(this.allocator.lengthTaken));
    if (!this.lazy) yield* refcounts.cache.writeDirty();
    if (!this.lazy && refcounts.table.dirty) {
      yield* settle(this.file.flush());
      yield* refcounts.table.writeDirty(this.file, 'refblock_alloc_hookup');
    }
    if (this.#header !== this.#writtenHeader) {
      yield* settle(this.file.flush());
      yield* this.#writeHeaderFields(this.#header);
    }
    this.file.event('flush_to_disk');
    yield* settle(this.file.flush());
    if (!this.lazy) this.#keepRefcounts();
    this.#writtenHeader = this.#header;
    if (publishes) {
      yield* l2.writeDirty();
      yield* l1.writeDirty(this.file, 'l1_update');
      this.file.event('flush_to_disk');
      yield* settle(this.file.flush());
      l2.keepWritten();
      l1.keepWritten();
    }
    yield* this.allocator.releaseFreed();
  }

  #keepRefcounts(): void {
    this.refcounts.cache.keepWritten();
    this.refcounts.table.keepWritten();
  }

  /** Writes everything, the refcounts too, and then says in the header that they are right. Under the lock. */
  *settleAll(): Co<void> {
    yield* this.writeBack();
    const { refcounts, file } = this;
    yield* refcounts.cache.writeDirty();
    if (refcounts.table.dirty) yield* settle(file.flush());
    yield* refcounts.table.writeDirty(file, 'refblock_alloc_hookup');
    yield* settle(file.flush());
    this.#keepRefcounts();
    if (!this.#announcedCounts || this.#countsDoubtful) return;
    const incompatibleFeatures = this.#header.incompatibleFeatures & ~INCOMPATIBLE_DIRTY;
    yield* this.#writeHeaderFields({ ...this.#header, incompatibleFeatures });
    yield* settle(file.flush());
    this.adoptHeader({ ...this.#header, incompatibleFeatures });
    this.#announcedCounts = false;
  }

  /** All fields that change lie in one sector, and one write that is no longer changes them together. */
  *#writeHeaderFields(header: Qcow2Header): Co<void> {
    const known = header.version === 2 ? HEADER_LENGTH_V2 : HEADER_LENGTH_V3;
    const bytes = encodeFields(header).subarray(0, Math.min(known, SECTOR_SIZE));
    yield* settle(this.file.write(0, bytes));
  }
}

/** Bits 9 to 55 of an entry. */
function entryOffset(table: EntryTable, index: number): number {
  return (table.high(index) & ENTRY_OFFSET_HIGH) * 2 ** 32 + ((table.low(index) & ENTRY_OFFSET_LOW) >>> 0);
}

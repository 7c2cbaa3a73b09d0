/**
 * Going through everything that an L1 table refers to: when a snapshot begins or ends to share it, each reference is counted, and
 * the flags that say "this may be written in place" follow the counts. What changes is written elsewhere (`NextRefcounts`).
 *
 * The tables are read from the file, past the cache: nothing may be waiting in it. Everything here runs under the image's metadata
 * lock.
 */
import { settle, type Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { hintDiscard } from './data-file.ts';
import type { EntryTable } from './entry-table.ts';
import type { Geometry } from './geometry.ts';
import { compressedRegion, entryLow, ownedHigh } from './l2-entry.ts';
import { ENTRY_COPIED, ENTRY_OFFSET_HIGH, ENTRY_OFFSET_LOW, L2_COMPRESSED } from './layout.ts';
import type { Metadata } from './metadata.ts';
import type { NextRefcounts } from './next-refcounts.ts';

/** What is done with each run of clusters, which are counted by number. */
type Visit = (first: number, count: number) => Co<void>;

/** What comes to share an L1 table's references. */
interface Sharing {
  /** Has them now. Only its first entries are meant. */
  readonly l1: EntryTable;
  readonly entries: number;
  /** The disk's table from now on: gets those entries. */
  readonly active: EntryTable;
  /** The table of a new snapshot, which gets them too, in place of `l1`; else `l1` stays. */
  readonly kept?: EntryTable;
}

/**
 * Counts one more reference to everything that some entries of an L1 table lead to. An L2 table without flags is shared as it is. In
 * place of one with flags there is a copy without them, which the disk shares with a new snapshot, or has for itself where the old one
 * stays in use: in the table of a snapshot flags mean nothing.
 *
 * @throws BlockError `corrupt`, `unsupported` when a count does not fit into the image's refcounts, and what the storage throws
 */
export function* shareReferences(
  metadata: Metadata,
  next: NextRefcounts,
  { l1, entries, active, kept }: Sharing,
): Co<void> {
  const { file, geometry } = metadata;
  const { clusterSize } = geometry;
  for (let index = 0; index < Math.min(entries, l1.entries); index++) {
    const offset = tablePlace(metadata, l1, index);
    if (offset === 0) continue;
    const table = yield* readTable(metadata, offset);
    yield* visitRuns(table, geometry, (first, count) => next.change(first, count, 1));
    let shared = offset;
    if (clearCopied(table, geometry.entryLength)) {
      file.event('l2_alloc_write');
      shared = yield* next.place(bytesOf(table));
      if (kept === undefined) {
        setOwned(active, index, shared);
        continue;
      }
      yield* next.giveUp(offset, clusterSize);
    }
    yield* next.change(shared / clusterSize, 1, 1);
    setShared(active, index, shared);
    if (kept !== undefined) setShared(kept, index, shared);
  }
}

/** Takes one reference from everything that an L1 table leads to. @throws BlockError `corrupt`, and what the storage throws */
export function* releaseReferences(metadata: Metadata, next: NextRefcounts, l1: EntryTable): Co<void> {
  yield* walk(metadata, l1, (first, count) => next.change(first, count, -1));
}

/** Tells the file of everything that an L1 table led to, as far as nobody uses it now. Nothing of it may have been taken since. */
export function* discardReleased(metadata: Metadata, l1: EntryTable): Co<void> {
  yield* walk(metadata, l1, (first, count) => discardUnused(metadata, first, count));
}

/** Tells the file of those of some clusters that nobody uses. */
export function* discardUnused({ file, geometry, refcounts }: Metadata, first: number, count: number): Co<void> {
  const { clusterSize } = geometry;
  for (let at = 0; at < count;) {
    const from = at;
    while (at < count && (yield* refcounts.get(first + at)) === 0) at++;
    if (at > from) yield* hintDiscard(file, (first + from) * clusterSize, (at - from) * clusterSize);
    else at++;
  }
}

/**
 * Sets the flags in the tables of the disk wherever a count of one is left. An L2 table that lacks some is written anew.
 *
 * @param active the disk's L1 table as it will be; it leads to the same now
 */
export function* markOwned(metadata: Metadata, next: NextRefcounts, active: EntryTable): Co<void> {
  const { file, geometry } = metadata;
  const { clusterSize } = geometry;
  for (let index = 0; index < active.entries; index++) {
    const offset = tablePlace(metadata, active, index);
    // What a shared table leads to is shared too.
    if (offset === 0 || (yield* next.get(offset / clusterSize)) !== 1) continue;
    const table = yield* readTable(metadata, offset);
    if (yield* markEntries(next, table, geometry)) {
      file.event('l2_alloc_write');
      setOwned(active, index, yield* next.place(bytesOf(table)));
      yield* next.giveUp(offset, clusterSize);
    } else if ((active.high(index) & ENTRY_COPIED) === 0) {
      setOwned(active, index, offset);
    }
  }
}

/**
 * Looks at an L1 table before it is gone through: all that it leads to lies in the file, and no L2 table is in it twice. So the work
 * is bounded by the size of the file.
 *
 * @throws BlockError `corrupt`
 */
export function vetL1(metadata: Metadata, l1: EntryTable): void {
  const offsets = new Float64Array(l1.entries);
  for (let index = 0; index < l1.entries; index++) offsets[index] = tablePlace(metadata, l1, index);
  offsets.sort();
  const twice = offsets.find((offset, index) => offset !== 0 && offset === offsets[index + 1]);
  if (twice === undefined) return;
  throw new BlockError('corrupt', `Two entries of an L1 table lead to the L2 table at ${twice}: check the image`);
}

/** The L2 table belongs to this entry alone. */
function setOwned(l1: EntryTable, index: number, offset: number): void {
  l1.set(index, ownedHigh(offset), entryLow(offset));
}

function setShared(l1: EntryTable, index: number, offset: number): void {
  l1.set(index, Math.floor(offset / 2 ** 32), entryLow(offset));
}

/** @returns whether the table was changed */
function* markEntries(next: NextRefcounts, table: DataView<ArrayBuffer>, geometry: Geometry): Co<boolean> {
  const { clusterSize, entryLength } = geometry;
  let changed = false;
  for (let at = 0; at < table.byteLength; at += entryLength) {
    const high = table.getUint32(at);
    if ((high & (L2_COMPRESSED | ENTRY_COPIED)) !== 0) continue;
    const offset = placeOf(high, table.getUint32(at + 4));
    if (offset === 0 || (yield* next.get(Math.floor(offset / clusterSize))) !== 1) continue;
    table.setUint32(at, high + ENTRY_COPIED);
    changed = true;
  }
  return changed;
}

/** @returns whether the table was changed */
function clearCopied(table: DataView<ArrayBuffer>, entryLength: number): boolean {
  let changed = false;
  for (let at = 0; at < table.byteLength; at += entryLength) {
    const high = table.getUint32(at);
    if ((high & ENTRY_COPIED) === 0) continue;
    table.setUint32(at, high - ENTRY_COPIED);
    changed = true;
  }
  return changed;
}

/** Visits everything that an L1 table leads to: what is in an L2 table, then the table itself. */
function* walk(metadata: Metadata, l1: EntryTable, visit: Visit): Co<void> {
  const { geometry } = metadata;
  for (let index = 0; index < l1.entries; index++) {
    const offset = tablePlace(metadata, l1, index);
    if (offset === 0) continue;
    yield* visitRuns(yield* readTable(metadata, offset), geometry, visit);
    yield* visit(offset / geometry.clusterSize, 1);
  }
}

function* visitRuns(table: DataView<ArrayBuffer>, { clusterSize, entryLength }: Geometry, visit: Visit): Co<void> {
  let first = 0;
  let count = 0;
  for (let at = 0; at < table.byteLength; at += entryLength) {
    const used = clustersOf(table.getUint32(at), table.getUint32(at + 4), clusterSize);
    if (used === undefined) continue;
    if (count > 0 && used.first === first + count) {
      count += used.count;
      continue;
    }
    if (count > 0) yield* visit(first, count);
    ({ first, count } = used);
  }
  if (count > 0) yield* visit(first, count);
}

/** The host clusters that an L2 entry refers to. */
function clustersOf(high: number, low: number, clusterSize: number): { first: number; count: number } | undefined {
  if ((high & L2_COMPRESSED) !== 0) {
    const { offset, length } = compressedRegion(high, low, clusterSize);
    const first = Math.floor(offset / clusterSize);
    return { first, count: Math.floor((offset + length - 1) / clusterSize) - first + 1 };
  }
  const offset = placeOf(high, low);
  if (offset === 0) return undefined;
  if (offset % clusterSize !== 0) {
    throw new BlockError(
      'corrupt',
      `An L2 entry leads to ${offset}, which is not the beginning of a cluster: check the image`,
    );
  }
  return { first: offset / clusterSize, count: 1 };
}

function placeOf(high: number, low: number): number {
  return (high & ENTRY_OFFSET_HIGH) * 2 ** 32 + ((low & ENTRY_OFFSET_LOW) >>> 0);
}

/** @returns 0 where there is no table. @throws BlockError `corrupt` when none can be where the entry leads */
export function tablePlace({ file, geometry }: Metadata, l1: EntryTable, index: number): number {
  const offset = placeOf(l1.high(index), l1.low(index));
  if (offset % geometry.clusterSize === 0 && offset < file.length) return offset;
  throw new BlockError(
    'corrupt',
    `Entry ${index} of an L1 table leads to ${offset}, where no L2 table can be: check the image`,
  );
}

/** Reads an L2 table, as it is on the disk. */
export function* readTable({ file, geometry }: Metadata, offset: number): Co<DataView<ArrayBuffer>> {
  const bytes = new Uint8Array(geometry.clusterSize);
  file.event('l2_load');
  yield* settle(file.read(offset, bytes));
  return new DataView(bytes.buffer);
}

function bytesOf(table: DataView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(table.buffer);
}

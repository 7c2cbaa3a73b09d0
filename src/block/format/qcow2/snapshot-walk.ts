/**
 * Going through everything that an L1 table refers to: when a snapshot begins or ends to share it, each reference is counted, and
 * the flags that say "this may be written in place" follow the counts.
 *
 * The tables are read from the file and written there, past the cache: nothing may be waiting in it, and it must be emptied
 * afterwards. Everything here runs under the image's metadata lock.
 */
import { settle, type Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { compressedRegion } from './l2-entry.ts';
import type { EntryTable } from './entry-table.ts';
import type { Geometry } from './geometry.ts';
import { ENTRY_COPIED, ENTRY_OFFSET_HIGH, ENTRY_OFFSET_LOW, L2_COMPRESSED } from './layout.ts';
import type { Metadata } from './metadata.ts';

/** What is done with each run of clusters, which are counted by number. @returns whether to go on */
type Visit = (first: number, count: number) => Co<boolean>;

/** Counts one more reference to everything that an L1 table leads to, and takes the flags from its L2 tables. */
export class ReferenceIncrease {
  readonly #metadata: Metadata;
  readonly #l1: EntryTable;
  /** Clusters that were counted. */
  #done = 0;

  constructor(metadata: Metadata, l1: EntryTable) {
    this.#metadata = metadata;
    this.#l1 = l1;
  }

  /** @throws BlockError `corrupt`, `unsupported` when a count does not fit into the image's refcounts, and what the storage throws */
  *run(): Co<void> {
    yield* walk(this.#metadata, this.#l1, clearCopied, (first, count) => this.#count(first, count));
  }

  *#count(first: number, count: number): Co<boolean> {
    for (let at = 0; at < count;) {
      const done = yield* this.#metadata.refcounts.change(first + at, count - at, 1);
      at += done;
      this.#done += done;
    }
    return true;
  }

  /** Takes back what was counted. Nothing on stable storage may depend on it. */
  *undo(): Co<void> {
    const release = releaser(this.#metadata);
    let left = this.#done;
    this.#done = 0;
    if (left === 0) return;
    yield* walk(this.#metadata, this.#l1, keepTable, function* (first, count) {
      const length = Math.min(left, count);
      left -= length;
      yield* release(first, length);
      return left > 0;
    });
  }
}

/** Takes one reference from everything that an L1 table leads to. Nothing on stable storage may lead to that table any more. */
export function* releaseReferences(metadata: Metadata, l1: EntryTable): Co<void> {
  yield* walk(metadata, l1, keepTable, releaser(metadata));
}

function releaser(metadata: Metadata): Visit {
  return function* (first, count) {
    metadata.frees.add(first, count, metadata.settings.passDiscardOther);
    if (metadata.frees.full) yield* metadata.allocator.releaseFreed();
    return true;
  };
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

/** Sets the flags in the active tables wherever a count of one has been left. */
export function* markOwned(metadata: Metadata): Co<void> {
  const { file, l1, refcounts } = metadata;
  const { clusterSize } = metadata.geometry;
  for (let index = 0; index < l1.entries; index++) {
    const offset = tablePlace(metadata, l1, index);
    // What a shared table leads to is shared too.
    if (offset === 0 || (yield* refcounts.get(offset / clusterSize)) !== 1) continue;
    const high = l1.high(index);
    if ((high & ENTRY_COPIED) === 0) l1.set(index, high + ENTRY_COPIED, l1.low(index));
    const table = yield* readTable(metadata, offset);
    if (yield* markEntries(metadata, table)) yield* settle(file.write(offset, bytesOf(table)));
  }
}

function* markEntries(metadata: Metadata, table: DataView<ArrayBuffer>): Co<boolean> {
  const { clusterSize, entryLength } = metadata.geometry;
  let changed = false;
  for (let at = 0; at < table.byteLength; at += entryLength) {
    const high = table.getUint32(at);
    if ((high & (L2_COMPRESSED | ENTRY_COPIED)) !== 0) continue;
    const offset = placeOf(high, table.getUint32(at + 4));
    if (offset === 0 || (yield* metadata.refcounts.get(Math.floor(offset / clusterSize))) !== 1) continue;
    table.setUint32(at, high + ENTRY_COPIED);
    changed = true;
  }
  return changed;
}

/** @returns whether the table was changed and must be written */
type Change = (table: DataView<ArrayBuffer>, entryLength: number) => boolean;

const keepTable: Change = () => false;

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

/** Visits everything in an order that depends on the tables alone. A table is changed before its clusters are visited. */
function* walk(metadata: Metadata, l1: EntryTable, change: Change, visit: Visit): Co<void> {
  const { clusterSize, entryLength } = metadata.geometry;
  for (let index = 0; index < l1.entries; index++) {
    const offset = tablePlace(metadata, l1, index);
    if (offset === 0) continue;
    const table = yield* readTable(metadata, offset);
    if (change(table, entryLength)) yield* settle(metadata.file.write(offset, bytesOf(table)));
    const goOn = (yield* visitRuns(table, metadata.geometry, visit)) && (yield* visit(offset / clusterSize, 1));
    if (!goOn) return;
  }
}

function* visitRuns(table: DataView<ArrayBuffer>, { clusterSize, entryLength }: Geometry, visit: Visit): Co<boolean> {
  let first = 0;
  let count = 0;
  for (let at = 0; at < table.byteLength; at += entryLength) {
    const used = clustersOf(table.getUint32(at), table.getUint32(at + 4), clusterSize);
    if (used === undefined) continue;
    if (count > 0 && used.first === first + count) {
      count += used.count;
      continue;
    }
    if (count > 0 && !(yield* visit(first, count))) return false;
    ({ first, count } = used);
  }
  return count === 0 || (yield* visit(first, count));
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

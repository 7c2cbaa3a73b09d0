/**
 * The bits of one bitmap in the file: a table, and clusters that it leads to for the parts that are neither all zeroes nor all ones.
 *
 * Source: qcow2 specification, "Bitmap table", "Bitmap data".
 */
import type { DirtyBitmap } from '../../bitmap/dirty-bitmap.ts';
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { TimeSlice } from '../../time-slice.ts';
import type { BitmapEntry } from './bitmap-directory.ts';
import {
  BITMAP_ALL_ONES,
  BITMAP_RESERVED_HIGH,
  BITMAP_RESERVED_LOW,
  ENTRY_LENGTH,
  ENTRY_OFFSET_HIGH,
  ENTRY_OFFSET_LOW,
} from './layout.ts';
import type { Metadata } from './metadata.ts';

/** What an entry of a bitmap table says: an offset in the file, or what all bits are. */
export type TableEntry = number | 'zeroes' | 'ones' | 'broken';

/** @returns `broken` for what the specification does not allow */
export function decodeTableEntry(high: number, low: number, clusterSize: number): TableEntry {
  if ((high & BITMAP_RESERVED_HIGH) !== 0 || (low & BITMAP_RESERVED_LOW) !== 0) return 'broken';
  const offset = (high & ENTRY_OFFSET_HIGH) * 2 ** 32 + ((low & ENTRY_OFFSET_LOW) >>> 0);
  const ones = (low & BITMAP_ALL_ONES) !== 0;
  if (offset === 0) return ones ? 'ones' : 'zeroes';
  return ones || offset % clusterSize !== 0 || !Number.isSafeInteger(offset) ? 'broken' : offset;
}

/** Bytes of a table that are read at once. */
const CHUNK_BYTES = 64 * 1024;

/** Reads a table piece by piece. What is behind the end of the file is left out. */
export function* eachTableEntry(
  file: BlockChild,
  { tableOffset, tableSize }: BitmapEntry,
  clusterSize: number,
  visit: (index: number, entry: TableEntry) => Co<void> | void,
): Co<void> {
  const inFile = Math.min(tableSize, Math.floor(Math.max(0, file.length - tableOffset) / ENTRY_LENGTH));
  for (let first = 0; first < inFile; first += CHUNK_BYTES / ENTRY_LENGTH) {
    const bytes = new Uint8Array(Math.min(CHUNK_BYTES, (inFile - first) * ENTRY_LENGTH));
    yield* settle(file.read(tableOffset + first * ENTRY_LENGTH, bytes));
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += ENTRY_LENGTH) {
      const entry = decodeTableEntry(view.getUint32(at), view.getUint32(at + 4), clusterSize);
      const waiting = visit(first + at / ENTRY_LENGTH, entry);
      if (waiting !== undefined) yield* waiting;
    }
  }
}

/** How many bytes of bits may still be read. Tables that share clusters must not fill the memory. */
export interface LoadBudget {
  bytes: number;
}

/**
 * Reads the bits of a bitmap.
 *
 * @throws BlockError `corrupt` for a table that contradicts the specification, `io`
 */
export function* loadBits(
  file: BlockChild,
  clusterSize: number,
  entry: BitmapEntry,
  bitmap: DirtyBitmap,
  budget: LoadBudget,
): Co<void> {
  if (entry.tableOffset + entry.tableSize * ENTRY_LENGTH > file.length) throw unreadable(entry, 'its table is cut off');
  const slice = new TimeSlice();
  yield* eachTableEntry(file, entry, clusterSize, (index, place) => {
    if (place === 'zeroes') return;
    if (place === 'ones') return bitmap.deserializeOnes(index * clusterSize, clusterSize);
    return loadCluster(index, place);
  });
  bitmap.markStored();

  function* loadCluster(index: number, place: number | 'broken'): Co<void> {
    const length = Math.min(clusterSize, bitmap.serializedLength - index * clusterSize);
    if (place === 'broken' || place + length > file.length)
      throw unreadable(entry, `entry ${index} of its table is broken`);
    budget.bytes -= length;
    if (budget.bytes < 0) throw unreadable(entry, 'the bitmaps have more bits than the file has room for');
    const bytes = new Uint8Array(length);
    yield* settle(file.read(place, bytes));
    bitmap.deserialize(index * clusterSize, bytes);
    yield* slice.pause();
  }
}

function unreadable({ name }: BitmapEntry, why: string): BlockError {
  return new BlockError(
    'corrupt',
    `Could not read bitmap '${name}' from image: ${why}. Check the image, or open it read-only`,
  );
}

/**
 * Writes the bits of a bitmap and a table for them into clusters of their own. Nothing leads there yet. Under the metadata lock;
 * on an error what was taken is given back.
 *
 * @returns where the table is
 */
export function* storeBits(metadata: Metadata, bitmap: DirtyBitmap): Co<{ tableOffset: number; tableSize: number }> {
  const { file, geometry, allocator, frees } = metadata;
  const { clusterSize } = geometry;
  const tableSize = Math.ceil(bitmap.serializedLength / clusterSize);
  const taken: { first: number; count: number }[] = [];
  const take = function* (count: number): Co<number> {
    const run = yield* allocator.take(count, { exact: true });
    taken.push(run);
    return run.first * clusterSize;
  };
  const slice = new TimeSlice();
  try {
    const tableClusters = Math.ceil((tableSize * ENTRY_LENGTH) / clusterSize);
    const table = new Uint8Array(tableClusters * clusterSize);
    const view = new DataView(table.buffer);
    for (let index = 0; index < tableSize; index++) {
      const kind = kindOf(bitmap, index, clusterSize);
      if (kind === 'zeroes') continue;
      const offset = kind === 'ones' ? BITMAP_ALL_ONES : yield* take(1);
      view.setUint32(index * ENTRY_LENGTH, Math.floor(offset / 2 ** 32));
      view.setUint32(index * ENTRY_LENGTH + 4, offset % 2 ** 32);
      if (kind === 'ones') continue;
      const bytes = new Uint8Array(clusterSize);
      bitmap.serialize(index * clusterSize, bytes);
      yield* settle(file.write(offset, bytes));
      yield* slice.pause();
    }
    const tableOffset = yield* take(tableClusters);
    yield* settle(file.write(tableOffset, table));
    return { tableOffset, tableSize };
  } catch (error) {
    for (const { first, count } of taken) frees.add(first, count, false);
    throw error;
  }
}

/**
 * What an entry of a bitmap's table has to say. For QEMU all ones go on to the end of a word of 64 bits, and a disk that it makes larger
 * would have dirty granules that nobody wrote to: what ends within a word is stored bit by bit.
 */
function kindOf(bitmap: DirtyBitmap, index: number, clusterSize: number): 'zeroes' | 'ones' | 'mixed' {
  const kind = bitmap.serializedKind(index * clusterSize, clusterSize);
  const bits = Math.ceil(bitmap.size / bitmap.granularity);
  const isWhole = (index + 1) * clusterSize * 8 <= bits || bits % 64 === 0;
  return kind === 'ones' && !isWhole ? 'mixed' : kind;
}

/**
 * Gives the clusters of a bitmap back that nothing leads to any more. What cannot be a cluster of a bitmap stays as it is: a check
 * finds it. Under the metadata lock.
 */
export function* freeBits(metadata: Metadata, entry: BitmapEntry): Co<void> {
  const { clusterSize } = metadata.geometry;
  yield* eachTableEntry(metadata.file, entry, clusterSize, (_index, place) => {
    if (typeof place === 'number') giveBack(metadata, place, 1);
  });
  giveBack(metadata, entry.tableOffset, Math.ceil((entry.tableSize * ENTRY_LENGTH) / clusterSize));
}

/** @param offset bytes, cluster-aligned */
export function giveBack(metadata: Metadata, offset: number, clusters: number): void {
  const { clusterSize } = metadata.geometry;
  if (offset + (clusters - 1) * clusterSize >= metadata.file.length) return;
  if (metadata.places.overlap(offset, clusters * clusterSize) !== undefined) return;
  metadata.frees.add(offset / clusterSize, clusters, metadata.settings.passDiscardOther);
}

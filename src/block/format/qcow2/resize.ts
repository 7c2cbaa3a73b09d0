/** Changing the size of the disk. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild, Preallocation } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { reserveZeroes } from '../shared/reserve.ts';
import { decompressCluster } from './compressed.ts';
import type { HostRun } from './allocator.ts';
import { readEntry } from './entries.ts';
import { EntryTable } from './entry-table.ts';
import { ENTRY_LENGTH, MAX_L1_BYTES } from './layout.ts';
import { allSubclusters, hostClusters, subclusterRange } from './l2-entry.ts';
import type { Metadata } from './metadata.ts';
import { changeClusters, zeroPart } from './zero.ts';

export interface SizeChange {
  /** Bytes of the disk now. */
  readonly oldSize: number;
  /** Bytes, a multiple of 512. */
  readonly newSize: number;
  readonly preallocation: Preallocation;
  /** Where the backing file ends: up to there what is new must be made zero. */
  readonly zeroUntil: number;
}

/**
 * @throws BlockError `invalid` when the format cannot hold a disk of that size with these clusters, and what the
 *   storage throws
 * @see FormatImage.resize
 */
export function* resize(metadata: Metadata, change: SizeChange): Co<void> {
  const { newSize } = change;
  metadata.assertWritable();
  // Snapshots of version 2 need not say how large the disk was.
  if (metadata.snapshots.length > 0 && metadata.geometry.version === 2) {
    throw new BlockError(
      'unsupported',
      "Can't resize a v2 image which has snapshots: delete them first, or amend the image to compat=1.1",
    );
  }
  if (newSize < change.oldSize) yield* shrink(metadata, newSize);
  else yield* grow(metadata, change);
}

// ── Growing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function* grow(metadata: Metadata, { oldSize, newSize, preallocation: wanted, zeroUntil }: SizeChange): Co<void> {
  // A raw data file holds the whole disk, and the tables lead to all of it.
  const isRaw = metadata.settings.dataFile?.raw === true;
  const preallocation = isRaw && wanted === 'off' ? 'metadata' : wanted;
  // Nothing should be there. What is there all the same was never the guest's, and must not show.
  yield* forgetBehind(metadata, oldSize);
  yield* clearTail(metadata, oldSize);
  yield* metadata.lock.run(() => growL1(metadata, Math.ceil(newSize / metadata.geometry.tableSpan)));
  yield* growDataFile(metadata, oldSize, newSize);
  if (preallocation !== 'off') yield* preallocate(metadata, oldSize, newSize, preallocation);
  // Preallocated clusters hide it themselves, but those of extended entries.
  const hides = preallocation !== 'off' && metadata.geometry.subclusters === 1;
  if (zeroUntil > oldSize && !hides) yield* hideBacking(metadata, oldSize, zeroUntil);
  yield* metadata.lock.run(function* () {
    // The new size shows only what is on the disk by then.
    yield* metadata.writeBack();
    yield* writeSize(metadata, newSize);
  });
}

/** Makes the external data file, if there is one, as long as the disk will be. A raw one shows zeroes there. */
function* growDataFile(metadata: Metadata, oldSize: number, newSize: number): Co<void> {
  const { dataFile } = metadata.settings;
  if (dataFile === undefined) return;
  const { child, raw } = dataFile;
  const shown = Math.min(child.length, newSize);
  if (raw && shown > oldSize) yield* settle(child.writeZeroes(oldSize, shown - oldSize));
  if (child.length < newSize) yield* settle(child.truncate(newSize));
}

/** Changes the size in the header. When that fails the disk keeps its size: the next flush makes sure of it. */
function* writeSize(metadata: Metadata, size: number): Co<void> {
  const { size: before } = metadata.header;
  metadata.updateHeader({ size });
  try {
    yield* metadata.writeBack();
  } catch (error) {
    metadata.updateHeader({ size: before });
    throw error;
  }
}

/** Makes new clusters zero, so that the backing file does not show. Version 2 has no other way than to give them space. */
function* hideBacking(metadata: Metadata, oldSize: number, end: number): Co<void> {
  const { clusterSize, subclusterSize, version } = metadata.geometry;
  if (version === 2) {
    yield* preallocate(metadata, oldSize, end, 'metadata');
    return;
  }
  for (let guest = Math.ceil(oldSize / subclusterSize) * subclusterSize; guest < end;) {
    const done = yield* changeClusters(metadata, guest, end - guest, false, ({ copied }) =>
      copied ? 'zero-reserved' : 'zero',
    );
    // A compressed cluster that the disk ended in holds all of itself.
    guest += done > 0 ? done : clusterSize - (guest % clusterSize);
  }
}

/** Moves the L1 table to where a larger one fits, if it is too small. The header leads to it when it is on the disk. Under the lock. */
export function* growL1(metadata: Metadata, entries: number): Co<void> {
  const { file, geometry, l1, settings } = metadata;
  const { clusterSize } = geometry;
  if (entries <= l1.entries) return;
  if (entries * ENTRY_LENGTH > MAX_L1_BYTES) {
    throw new BlockError(
      'invalid',
      `A disk of that size needs an L1 table of ${entries * ENTRY_LENGTH} bytes; the limit is ${MAX_L1_BYTES}. ` +
        'Convert the image to larger clusters',
    );
  }
  file.event('l1_grow_alloc_table');
  const clusters = Math.ceil((entries * ENTRY_LENGTH) / clusterSize);
  const run = yield* metadata.allocator.take(clusters, { exact: true });
  const grown = l1.grown(entries * ENTRY_LENGTH);
  try {
    file.event('l1_grow_write_table');
    // Up to the end of its clusters, so that the file reaches as far as they do.
    yield* settle(file.write(run.first * clusterSize, l1.grown(clusters * clusterSize)));
  } catch (error) {
    metadata.frees.add(run.first, clusters, false);
    throw error;
  }
  const oldClusters = Math.ceil(l1.length / clusterSize);
  metadata.l1 = new EntryTable(run.first * clusterSize, grown);
  metadata.noteL1Place();
  file.event('l1_grow_activate_table');
  metadata.updateHeader({ l1TableOffset: metadata.l1.offset, l1Size: entries });
  if (oldClusters > 0) metadata.frees.add(l1.offset / clusterSize, oldClusters, settings.passDiscardOther);
}

/**
 * What lies behind the disk's end in its last cluster was never the guest's, and may be anything. Before the disk reaches
 * there it is made zero.
 */
function* clearTail(metadata: Metadata, size: number): Co<void> {
  const { file } = metadata;
  const { clusterSize, externalData, sliceSpan, subclusterSize, subclusters } = metadata.geometry;
  const inCluster = size % clusterSize;
  if (inCluster === 0) return;
  yield* metadata.lock.run(function* () {
    const guest = size - inCluster;
    const slice = Math.floor(guest / sliceSpan);
    if (metadata.tableOffset(Math.floor(guest / metadata.geometry.tableSpan)) === 0) return;
    const index = Math.floor((guest - slice * sliceSpan) / clusterSize);
    const slot = yield* metadata.writableSlice(slice);
    const entry = readEntry(metadata, slot, slice, index);
    // Of the subclusters one may be cut by the end, and those behind it need no more than their bits.
    const cut = Math.floor(inCluster / subclusterSize);
    const behind = subclusterRange(Math.ceil(inCluster / subclusterSize), subclusters);
    if (entry.kind !== 'compressed' && (entry.alloc & behind) !== 0) zeroPart(metadata, slot, index, entry, behind);
    const isCut = (entry.alloc & (2 ** cut)) !== 0 && inCluster % subclusterSize !== 0;
    if (!isCut && entry.kind !== 'compressed') return;
    const cutEnd = (cut + 1) * subclusterSize;
    if (entry.copied || externalData) {
      const data = metadata.dataChild(entry.hostOffset, guest);
      yield* settle(data.writeZeroes(entry.hostOffset + inCluster, cutEnd - inCluster));
      return;
    }
    const bytes = new Uint8Array(clusterSize);
    file.event('cow_read');
    if (entry.kind === 'compressed') yield* decompressCluster(metadata, entry, guest, bytes);
    else {
      const data = metadata.dataChild(entry.hostOffset, guest);
      yield* settle(data.read(entry.hostOffset, bytes.subarray(0, inCluster)));
    }
    bytes.fill(0, inCluster);
    const run = yield* metadata.allocator.take(1);
    const hostOffset = run.first * clusterSize;
    file.event('cow_write');
    yield* settle(metadata.dataChild(hostOffset, guest).write(hostOffset, bytes));
    const again = yield* metadata.writableSlice(slice);
    metadata.setCluster(again, index, { ...readEntry(metadata, again, slice, index), hostOffset, copied: true });
    metadata.giveBack(entry, metadata.settings.passDiscardOther);
  });
}

/** Host clusters that read as zeroes. In an external data file each guest cluster has its own place. */
function* reserveRun(
  metadata: Metadata,
  guestCluster: number,
  wanted: number,
  { newSize, mode }: { readonly newSize: number; readonly mode: Exclude<Preallocation, 'off'> },
): Co<Pick<HostRun, 'first' | 'count'>> {
  const { allocator, dataStore, frees, geometry } = metadata;
  const { clusterSize, externalData } = geometry;
  const run = externalData
    ? { first: guestCluster, count: wanted }
    : yield* allocator.take(wanted, { from: allocator.freshFrom });
  const offset = run.first * clusterSize;
  const whole = offset + run.count * clusterSize;
  // An external data file is as long as the disk.
  const end = externalData ? Math.min(whole, newSize) : whole;
  try {
    if (mode !== 'metadata') yield* reserveZeroes(dataStore, offset, end - offset, mode);
    else if (dataStore.length < end) yield* settle(dataStore.truncate(end));
  } catch (error) {
    if (!externalData) frees.add(run.first, run.count, false);
    throw error;
  }
  return run;
}

/** The data file is a raw image of the whole disk, whatever the tables say. */
function holdsAll({ settings }: Metadata): boolean {
  return settings.dataFile?.raw === true && settings.encryption === undefined;
}

/** The cluster that the disk ended in gets space too, if it has none and nothing shows through it. */
function* firstToReserve(metadata: Metadata, oldSize: number): Co<number> {
  const { clusterSize, sliceSpan, subclusters } = metadata.geometry;
  const inCluster = oldSize % clusterSize;
  if (inCluster === 0) return oldSize;
  const cluster = oldSize - inCluster;
  // What lay behind the old end was given up. A raw data file holds all of the cluster again, and shows what the disk shows.
  if (holdsAll(metadata)) return cluster;
  if (metadata.header.backingFileName !== undefined && subclusters === 1) return cluster + clusterSize;
  return yield* metadata.lock.run(function* () {
    const slice = Math.floor(cluster / sliceSpan);
    const slot = yield* metadata.writableSlice(slice);
    const { kind } = readEntry(metadata, slot, slice, (cluster - slice * sliceSpan) / clusterSize);
    return kind === 'unallocated' ? cluster : cluster + clusterSize;
  });
}

/** Gives all clusters from the old end on host clusters that were never used and so read as zeroes. */
function* preallocate(
  metadata: Metadata,
  oldSize: number,
  newSize: number,
  mode: Exclude<Preallocation, 'off'>,
): Co<void> {
  const { clusterSize, sliceSpan, subclusters, version } = metadata.geometry;
  const { encryption } = metadata.settings;
  // Bytes that were never written are zeroes, but not when they are decrypted.
  const zero = subclusters === 1 && encryption !== undefined && version === 3 ? 1 : 0;
  // Extended entries reserve the space and say that it holds nothing yet, as QEMU's do; but a raw data file holds all of the disk.
  const alloc = holdsAll(metadata) ? allSubclusters(subclusters) : subclusters === 1 ? 1 - zero : 0;
  for (let guest = yield* firstToReserve(metadata, oldSize); guest < newSize;) {
    guest = yield* metadata.lock.run(function* () {
      const slice = Math.floor(guest / sliceSpan);
      yield* metadata.writableSlice(slice);
      const end = Math.min((slice + 1) * sliceSpan, newSize);
      const wanted = Math.ceil((end - guest) / clusterSize);
      const run = yield* reserveRun(metadata, guest / clusterSize, wanted, { newSize, mode });
      if (encryption !== undefined && version === 2) {
        const child = metadata.dataChild(run.first * clusterSize, guest);
        yield* settle(child.writeZeroes(run.first * clusterSize, run.count * clusterSize));
      }
      const slot = yield* metadata.writableSlice(slice);
      const index = Math.floor((guest - slice * sliceSpan) / clusterSize);
      for (let at = 0; at < run.count; at++) {
        const hostOffset = (run.first + at) * clusterSize;
        metadata.setCluster(slot, index + at, { allocated: true, hostOffset, copied: true, zero, alloc });
      }
      return guest + run.count * clusterSize;
    });
  }
}

// ── Shrinking ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Gives back everything behind the new end, then says so in the header, then cuts the file. In this order a power cut on the way
 * leaves a disk of the old size with a part of its end gone, which it was to lose; never a larger disk that shows old bytes.
 */
function* shrink(metadata: Metadata, newSize: number): Co<void> {
  const { dataFile } = metadata.settings;
  // The tables will say that nothing is there.
  if (dataFile?.raw === true) yield* zeroFrom(dataFile.child, newSize);
  yield* forgetBehind(metadata, newSize);
  yield* clearTail(metadata, newSize);
  yield* metadata.lock.run(function* () {
    metadata.file.event('l1_shrink_write_table');
    yield* metadata.writeBack();
    yield* writeSize(metadata, newSize);
    yield* cutFile(metadata);
    if (dataFile !== undefined && dataFile.child.length > newSize) yield* settle(dataFile.child.truncate(newSize));
  });
}

/** Makes a file zero from an offset on. */
export function* zeroFrom(file: BlockChild, offset: number): Co<void> {
  if (file.length > offset) yield* settle(file.writeZeroes(offset, file.length - offset, { mayUnmap: true }));
}

/** Takes out of use all that the tables hold for clusters that lie wholly behind a size. */
export function* forgetBehind(metadata: Metadata, size: number): Co<void> {
  const { clusterSize, tableSpan } = metadata.geometry;
  const wholeTables = Math.ceil(size / tableSpan);
  const end = wholeTables * tableSpan;
  for (let guest = Math.ceil(size / clusterSize) * clusterSize; guest < end;) {
    if (metadata.tableOffset(wholeTables - 1) === 0) break;
    guest += yield* changeClusters(metadata, guest, end - guest, metadata.settings.passDiscardRequest, ({ kind }) =>
      kind === 'unallocated' ? 'keep' : 'unallocate',
    );
  }
  for (let table = wholeTables; table < metadata.l1.entries; table++) {
    if (metadata.tableOffset(table) !== 0) yield* metadata.lock.run(() => dropTable(metadata, table));
  }
}

/** Takes an L2 table and all that it refers to out of use. Under the lock. */
function* dropTable(metadata: Metadata, table: number): Co<void> {
  const { file, frees, geometry, l2, settings } = metadata;
  const { clusterSize, slicesPerTable } = geometry;
  if (frees.full) yield* metadata.writeBack();
  const clusters: number[] = [];
  for (let index = 0; index < slicesPerTable; index++) {
    yield* collectClusters(metadata, table * slicesPerTable + index, clusters);
  }
  // From here on nothing waits and nothing fails: clusters are given back only together with what refers to them.
  const offset = metadata.tableOffset(table);
  file.event('l1_shrink_free_l2_clusters');
  metadata.l1.set(table, 0, 0);
  metadata.places.removeL2Table(offset);
  for (let index = 0; index < slicesPerTable; index++) l2.drop(table * slicesPerTable + index);
  for (const cluster of clusters) frees.add(cluster, 1, settings.passDiscardRequest);
  frees.add(offset / clusterSize, 1, settings.passDiscardRequest);
}

function* collectClusters(metadata: Metadata, slice: number, into: number[]): Co<void> {
  const { geometry, l2 } = metadata;
  const slot = yield* l2.load(slice);
  for (let index = 0; index < geometry.entriesPerSlice; index++) {
    const entry = readEntry(metadata, slot, slice, index);
    if (geometry.externalData) continue;
    const { first, count } = hostClusters(entry, geometry.clusterSize);
    for (let at = 0; at < count; at++) into.push(first + at);
  }
}

/** Cuts off what is free at the end of the file. */
export function* cutFile(metadata: Metadata): Co<void> {
  const { allocator, file, geometry, refcounts } = metadata;
  const last = yield* refcounts.lastUsed(Math.ceil(file.length / geometry.clusterSize));
  const end = (last + 1) * geometry.clusterSize;
  if (end >= file.length) return;
  yield* settle(file.truncate(end));
  allocator.fileWasCut(last + 1);
}

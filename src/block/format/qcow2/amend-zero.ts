/**
 * Zero clusters, which version 2 does not have, become clusters full of zeroes, or nothing where nothing is behind them. QEMU:
 * qcow2_expand_zero_clusters.
 */
import { settle, type Co } from '../../co.ts';
import { TimeSlice } from '../../time-slice.ts';
import { readEntry } from './entries.ts';
import { entryHigh, entryLow, NO_CLUSTER, type ClusterPlace } from './l2-entry.ts';
import { ENTRY_LENGTH, ENTRY_OFFSET_HIGH, ENTRY_OFFSET_LOW, L2_COMPRESSED, L2_ZERO } from './layout.ts';
import type { Metadata } from './metadata.ts';
import { readSnapshotL1 } from './snapshot-changes.ts';
import { readTable, tablePlace, vetL1 } from './snapshot-walk.ts';

/** The zero clusters of one of the disk's own L2 tables. Under the metadata lock. */
export function* expandTable(metadata: Metadata, table: number): Co<void> {
  const { slicesPerTable } = metadata.geometry;
  for (let slice = table * slicesPerTable; slice < (table + 1) * slicesPerTable; slice++) {
    for (let index = yield* nextZero(metadata, slice, 0); index >= 0;) {
      yield* expandCluster(metadata, slice, index);
      index = yield* nextZero(metadata, slice, index + 1);
    }
  }
}

/** The next entry of a slice from `from` on that is a zero cluster; -1: none. */
function* nextZero(metadata: Metadata, slice: number, from: number): Co<number> {
  const slot = yield* metadata.l2.load(slice);
  for (let index = from; index < metadata.geometry.entriesPerSlice; index++) {
    if (readEntry(metadata, slot, slice, index).kind === 'zero') return index;
  }
  return -1;
}

function* expandCluster(metadata: Metadata, slice: number, index: number): Co<void> {
  const { file, geometry, header } = metadata;
  const { clusterSize } = geometry;
  const entry = readEntry(metadata, yield* metadata.writableSlice(slice), slice, index);
  if (entry.allocated && entry.copied) {
    yield* settle(file.writeZeroes(entry.hostOffset, clusterSize));
    yield* setEntry(metadata, slice, index, { ...entry, zero: 0, alloc: 1 });
  } else if (header.backingFileName === undefined) {
    yield* setEntry(metadata, slice, index, NO_CLUSTER);
    metadata.giveBack(entry, metadata.settings.passDiscardOther);
  } else {
    const hostOffset = yield* zeroedCluster(metadata);
    yield* setEntry(metadata, slice, index, { allocated: true, hostOffset, copied: true, zero: 0, alloc: 1 });
    metadata.giveBack(entry, metadata.settings.passDiscardOther);
  }
}

function* setEntry(metadata: Metadata, slice: number, index: number, place: ClusterPlace): Co<void> {
  const slot = yield* metadata.writableSlice(slice);
  metadata.setCluster(slot, index, place);
}

/** Takes a cluster and fills it with zeroes. @returns its offset in the file */
function* zeroedCluster({ allocator, file, frees, geometry }: Metadata): Co<number> {
  const { first } = yield* allocator.take(1);
  try {
    yield* settle(file.writeZeroes(first * geometry.clusterSize, geometry.clusterSize));
  } catch (error) {
    frees.add(first, 1, false);
    throw error;
  }
  return first * geometry.clusterSize;
}

// ── Snapshots ───────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The zero clusters of all snapshots, when the disk's own are expanded: a table that still has some belongs to snapshots alone.
 * It is changed where it is. An entry may be the new one or the old one after a power cut, so what the old ones refer to is given
 * up afterwards. Under the metadata lock.
 */
export function* expandSnapshots(metadata: Metadata): Co<void> {
  const done = new Set<number>();
  const slice = new TimeSlice();
  yield* metadata.writeBack();
  for (const entry of metadata.snapshots) {
    const l1 = yield* readSnapshotL1(metadata, entry);
    vetL1(metadata, l1);
    for (let index = 0; index < l1.entries; index++) {
      const offset = tablePlace(metadata, l1, index);
      if (offset === 0 || done.has(offset)) continue;
      done.add(offset);
      yield* expandInactive(metadata, offset);
      yield* slice.pause();
    }
  }
}

function* expandInactive(metadata: Metadata, offset: number): Co<void> {
  const { file, geometry, settings } = metadata;
  const table = yield* readTable(metadata, offset);
  const zeroes = zeroEntries(table);
  if (zeroes.length === 0) return;
  metadata.announceCounts();
  yield* metadata.writeBack();
  // Each snapshot that has the table refers to what is in it.
  const uses = yield* metadata.refcounts.get(offset / geometry.clusterSize);
  const given: number[] = [];
  try {
    for (const at of zeroes) {
      const host =
        (table.getUint32(at) & ENTRY_OFFSET_HIGH) * 2 ** 32 + ((table.getUint32(at + 4) & ENTRY_OFFSET_LOW) >>> 0);
      // Others may hold data in the host cluster that is reserved here: it is no place for zeroes.
      if (host !== 0) given.push(host / geometry.clusterSize);
      const place = yield* replacement(metadata, uses);
      table.setUint32(at, entryHigh(place));
      table.setUint32(at + 4, entryLow(place.hostOffset));
    }
    yield* metadata.writeBack();
    yield* settle(file.write(offset, new Uint8Array(table.buffer)));
    yield* settle(file.flush());
  } catch (error) {
    metadata.distrustCounts();
    throw error;
  }
  for (const cluster of given) {
    for (let use = 0; use < uses; use++) metadata.frees.add(cluster, 1, settings.passDiscardOther);
    if (metadata.frees.full) yield* metadata.writeBack();
  }
  yield* metadata.writeBack();
}

/** Where the zero clusters of a table are. */
function zeroEntries(table: DataView): number[] {
  const zeroes: number[] = [];
  for (let at = 0; at < table.byteLength; at += ENTRY_LENGTH) {
    if ((table.getUint32(at) & L2_COMPRESSED) === 0 && (table.getUint32(at + 4) & L2_ZERO) !== 0) zeroes.push(at);
  }
  return zeroes;
}

/** What reads as zeroes in version 2, for a table that is used so often. */
function* replacement(metadata: Metadata, uses: number): Co<ClusterPlace> {
  if (metadata.header.backingFileName === undefined) return NO_CLUSTER;
  const hostOffset = yield* zeroedCluster(metadata);
  const cluster = hostOffset / metadata.geometry.clusterSize;
  for (let use = 1; use < uses; use++) yield* metadata.refcounts.change(cluster, 1, 1);
  return { allocated: true, hostOffset, copied: false, zero: 0, alloc: 1 };
}

/** Making whole clusters and subclusters read as zero, and giving clusters back, by changing their L2 entries alone. */
import { settle, type Co } from '../../co.ts';
import type { RequestFlags } from '../../driver.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { hintDiscard } from './data-file.ts';
import { readEntry } from './entries.ts';
import { allSubclusters, NO_CLUSTER, subclusterRange, type ClusterEntry } from './l2-entry.ts';
import type { Metadata } from './metadata.ts';
import { roundUp } from '../../../binary/round-up.ts';

/** What becomes of a cluster. */
type Change =
  | 'keep'
  /** No entry any more: the backing file shows. */
  | 'unallocate'
  /** Zero, and its host cluster is given back. */
  | 'zero'
  /** Zero, and its host cluster stays reserved. */
  | 'zero-reserved';

/**
 * Whole subclusters where the image has them. Only whole clusters give their space back.
 *
 * @see FormatImage.markZero
 * @returns bytes done; 0 in version 2, which has no zero clusters, and for parts of a compressed cluster
 */
export function* markZero(metadata: Metadata, guestOffset: number, length: number, flags: RequestFlags): Co<number> {
  const { geometry, header } = metadata;
  if (geometry.version === 2) return 0;
  if (metadata.settings.dataFile?.raw === true) {
    return yield* zeroRawFile(metadata, guestOffset, length, flags.mayUnmap === true);
  }
  // The last cluster is whole when all that the disk has of it is.
  const reachesEnd = guestOffset + length > header.size - SECTOR_SIZE;
  const whole = reachesEnd ? roundUp(guestOffset + length, geometry.clusterSize) - guestOffset : length;
  const all = allSubclusters(geometry.subclusters);
  const { keepDiscarded, passDiscardRequest } = metadata.settings;
  const passDiscard = (geometry.externalData || keepDiscarded) && flags.mayUnmap === true && passDiscardRequest;
  const done = yield* changeClusters(metadata, guestOffset, whole, passDiscard, ({ allocated, copied, zero }) => {
    const reserved = copied && allocated;
    if ((flags.mayUnmap === true && !keepDiscarded) || !reserved) return zero === all && !allocated ? 'keep' : 'zero';
    return zero === all ? 'keep' : 'zero-reserved';
  });
  return Math.min(done, length);
}

/**
 * Gives clusters back. In version 3 they read as zero afterwards, if they held anything or there is a backing file. Version 2
 * can only forget clusters, which with a backing file would show what that holds: then nothing is done.
 *
 * @see FormatImage.discard
 */
export function* discard(metadata: Metadata, guestOffset: number, length: number): Co<number> {
  const hasBacking = metadata.header.backingFileName !== undefined;
  metadata.assertWritable();
  if (metadata.geometry.version === 2 && hasBacking) return length;
  if (metadata.settings.dataFile?.raw === true) return yield* zeroRawFile(metadata, guestOffset, length, true);
  const { clusterSize, subclusters, tableSpan } = metadata.geometry;
  const table = Math.floor(guestOffset / tableSpan);
  if (!hasBacking && metadata.tableOffset(table) === 0) return Math.min(length, (table + 1) * tableSpan - guestOffset);
  const all = allSubclusters(subclusters);
  const done = yield* changeClusters(
    metadata,
    guestOffset,
    roundUp(length, clusterSize),
    metadata.settings.passDiscardRequest,
    ({ allocated, copied, zero }) => {
      if (!allocated && (zero === all || !hasBacking)) return 'keep';
      // What a snapshot has too is not this disk's to keep.
      if (metadata.settings.keepDiscarded && copied) return zero === all ? 'keep' : 'zero-reserved';
      return metadata.geometry.version === 2 ? 'unallocate' : 'zero';
    },
  );
  return Math.min(done, length);
}

/**
 * Changes the entries of clusters, as far as one slice goes. Of a cluster that the range has only a part of, the subclusters
 * become zero, whatever `decide` would say.
 *
 * @param guestOffset at the beginning of a subcluster
 * @param passDiscard whether the file below is told of the clusters that become free
 * @returns bytes done; fewer than one slice has when a part of a compressed cluster is in the way, 0 too
 */
export function* changeClusters(
  metadata: Metadata,
  guestOffset: number,
  length: number,
  passDiscard: boolean,
  decide: (entry: ClusterEntry) => Change,
): Co<number> {
  return yield* metadata.lock.run(function* () {
    metadata.assertWritable();
    const { clusterSize, sliceSpan, subclusters, subclusterSize } = metadata.geometry;
    const slice = Math.floor(guestOffset / sliceSpan);
    const start = guestOffset - slice * sliceSpan;
    const end = Math.min(start + length, sliceSpan);
    const slot = yield* metadata.writableSlice(slice);
    const discarded: number[] = [];
    let at = start;
    while (at < end) {
      const index = Math.floor(at / clusterSize);
      const next = Math.min(end, (index + 1) * clusterSize);
      const entry = readEntry(metadata, slot, slice, index);
      const from = (at - index * clusterSize) / subclusterSize;
      const to = Math.ceil((next - index * clusterSize) / subclusterSize);
      const isPart = to - from < subclusters;
      if (isPart && entry.kind === 'compressed') break;
      if (isPart) zeroPart(metadata, slot, index, entry, subclusterRange(from, to));
      else if (apply(metadata, slot, index, entry, decide(entry), passDiscard)) discarded.push(entry.hostOffset);
      at = next;
    }
    // The zeroes of a discarded range are not zeroes once they are decrypted, and until the entries are on stable storage who loses
    // power reads them so.
    if (passDiscard && metadata.settings.encryption === undefined) yield* discardClusters(metadata, discarded);
    return at - start;
  });
}

/** Makes some of a cluster's subclusters zero. What they took stays reserved for them. */
export function zeroPart(metadata: Metadata, slot: number, index: number, entry: ClusterEntry, bits: number): void {
  if ((bits & ~entry.zero) === 0) return;
  metadata.setCluster(slot, index, {
    ...entry,
    zero: (entry.zero | bits) >>> 0,
    alloc: (entry.alloc & ~bits) >>> 0,
  });
}

/** @returns whether a host cluster is to be discarded at once: it went out of use, and nobody else can take it now */
function apply(
  metadata: Metadata,
  slot: number,
  index: number,
  entry: ClusterEntry,
  change: Change,
  passDiscard: boolean,
): boolean {
  if (change === 'keep') return false;
  const zero = change === 'unallocate' ? 0 : allSubclusters(metadata.geometry.subclusters);
  if (change === 'zero-reserved') {
    metadata.setCluster(slot, index, { ...entry, zero, alloc: 0 });
    return true;
  }
  metadata.setCluster(slot, index, { ...NO_CLUSTER, zero });
  metadata.giveBack(entry, passDiscard);
  return entry.allocated && metadata.geometry.externalData;
}

/** Clusters that stay with their guest clusters, as those of an external data file do, are given back at once. */
function* discardClusters({ dataStore, geometry }: Metadata, offsets: readonly number[]): Co<void> {
  for (let first = 0; first < offsets.length;) {
    const offset = offsets[first]!;
    let next = first + 1;
    while (next < offsets.length && offsets[next] === offset + (next - first) * geometry.clusterSize) next++;
    yield* hintDiscard(dataStore, offset, (next - first) * geometry.clusterSize);
    first = next;
  }
}

/**
 * A raw data file is made zero itself, and the tables go on saying that it holds the data. So what the disk shows and what the
 * file holds never differ, whatever of both reaches the disk before a power cut.
 *
 * @returns bytes done: all of them
 */
function* zeroRawFile(metadata: Metadata, guestOffset: number, length: number, mayUnmap: boolean): Co<number> {
  metadata.assertWritable();
  yield* settle(metadata.dataChild(guestOffset, guestOffset).writeZeroes(guestOffset, length, { mayUnmap }));
  return length;
}

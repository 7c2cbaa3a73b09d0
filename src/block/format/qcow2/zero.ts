/** Making whole clusters read as zero, and giving them back, by changing their L2 entries alone. */
import type { Co } from '../../co.ts';
import type { RequestFlags } from '../../driver.ts';
import { readEntry } from './allocate.ts';
import { entryLow, ownedHigh, type ClusterEntry } from './l2-entry.ts';
import { L2_ZERO } from './layout.ts';
import { compressedCluster } from './map.ts';
import type { Metadata } from './metadata.ts';

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
 * @see FormatImage.markZero
 * @returns bytes done; 0 in version 2, which has no zero clusters
 */
export function* markZero(metadata: Metadata, guestOffset: number, length: number, flags: RequestFlags): Co<number> {
  if (metadata.geometry.version === 2) return 0;
  return yield* changeClusters(metadata, guestOffset, length, false, ({ kind, copied, hostOffset }) => {
    const reserved = copied && hostOffset !== 0;
    if (flags.mayUnmap === true || !reserved) return kind === 'zero' && hostOffset === 0 ? 'keep' : 'zero';
    return kind === 'zero' ? 'keep' : 'zero-reserved';
  });
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
  const { tableSpan } = metadata.geometry;
  const table = Math.floor(guestOffset / tableSpan);
  if (!hasBacking && metadata.tableOffset(table) === 0) return Math.min(length, (table + 1) * tableSpan - guestOffset);
  return yield* changeClusters(
    metadata,
    guestOffset,
    length,
    metadata.settings.passDiscardRequest,
    ({ kind, hostOffset }) => {
      if (hostOffset === 0 && (kind === 'zero' || !hasBacking)) return 'keep';
      return metadata.geometry.version === 2 ? 'unallocate' : 'zero';
    },
  );
}

/**
 * Changes the entries of whole clusters, as far as one slice goes.
 *
 * @param passDiscard whether the file below is told of the clusters that become free
 * @returns bytes done
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
    const { clusterSize, entriesPerSlice, sliceSpan } = metadata.geometry;
    const slice = Math.floor(guestOffset / sliceSpan);
    const slot = yield* metadata.writableSlice(slice);
    const first = Math.floor((guestOffset - slice * sliceSpan) / clusterSize);
    const count = Math.min(Math.ceil(length / clusterSize), entriesPerSlice - first);
    for (let index = first; index < first + count; index++) {
      const entry = readEntry(metadata, slot, slice, index);
      if (entry.kind === 'compressed') throw compressedCluster(slice * sliceSpan + index * clusterSize);
      apply(metadata, slot, index, entry, decide(entry), passDiscard);
    }
    return Math.min(length, count * clusterSize);
  });
}

function apply(
  metadata: Metadata,
  slot: number,
  index: number,
  { hostOffset }: ClusterEntry,
  change: Change,
  passDiscard: boolean,
): void {
  if (change === 'keep') return;
  if (change === 'zero-reserved') {
    metadata.setEntry(slot, index, ownedHigh(hostOffset), entryLow(hostOffset) + L2_ZERO);
    return;
  }
  metadata.setEntry(slot, index, 0, change === 'zero' ? L2_ZERO : 0);
  if (hostOffset !== 0) metadata.frees.add(hostOffset / metadata.geometry.clusterSize, 1, passDiscard);
}

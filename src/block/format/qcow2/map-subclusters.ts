/**
 * Where guest bytes are in an image with extended L2 entries: each of a cluster's 32 subclusters is stored in its host cluster,
 * zero, or left to the backing file. Neighbours of one kind are told as one, across clusters too.
 *
 * Source: qcow2 specification, "Extended L2 Entries".
 */
import { backingExtent, dataExtent, encodedExtent, NO_OFFSET, zeroExtent, type Extent } from '../../extent.ts';
import { readEntry } from './entries.ts';
import { setRun, type ClusterEntry } from './l2-entry.ts';
import { behindTheEnd } from './map.ts';
import type { Metadata } from './metadata.ts';

type SubclusterKind = 'data' | 'zero' | 'backing';

export class SubclusterMapper {
  readonly #metadata: Metadata;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  /** @param slot where the slice that maps `guestOffset` is in the cache. @see FormatImage.map */
  mapCached(slot: number, slice: number, guestOffset: number, length: number): Extent {
    const { clusterSize, entriesPerSlice, sliceSpan, subclusterSize } = this.#metadata.geometry;
    const within = guestOffset - slice * sliceSpan;
    const index = Math.floor(within / clusterSize);
    const inCluster = within - index * clusterSize;
    const first = readEntry(this.#metadata, slot, slice, index);
    if (first.kind === 'compressed') return encodedExtent(Math.min(length, clusterSize - inCluster), 'compressed');
    const subcluster = Math.floor(inCluster / subclusterSize);
    const kind = kindOf(first, subcluster);
    let run = setRun(bitsOf(first, kind), subcluster);
    let end = (subcluster + run) * subclusterSize;
    // On to the next clusters as long as all of this one is alike, from where the range begins.
    const wanted = inCluster + length;
    for (let next = index + 1; end === (next - index) * clusterSize && end < wanted && next < entriesPerSlice; next++) {
      const entry = readEntry(this.#metadata, slot, slice, next);
      if (!follows(first, entry, (next - index) * clusterSize, kind)) break;
      run = setRun(bitsOf(entry, kind), 0);
      end += run * subclusterSize;
    }
    return this.#extent(slot, first, kind, { guestOffset, inCluster, length: Math.min(wanted, end) - inCluster });
  }

  #extent(
    slot: number,
    entry: ClusterEntry,
    kind: SubclusterKind,
    { guestOffset, inCluster, length }: { guestOffset: number; inCluster: number; length: number },
  ): Extent {
    const hostOffset = entry.hostOffset + inCluster;
    const { dataStore, l2, settings } = this.#metadata;
    const reserved = entry.allocated && settings.encryption === undefined ? hostOffset : NO_OFFSET;
    if (kind === 'backing') return backingExtent(length, reserved);
    if (kind === 'zero') return zeroExtent(length, reserved);
    if (entry.hostOffset >= dataStore.length) throw behindTheEnd(dataStore, entry.hostOffset, guestOffset);
    return dataExtent(
      this.#metadata.dataChild(hostOffset, guestOffset),
      hostOffset,
      length,
      entry.copied && l2.marked(slot),
    );
  }
}

function kindOf({ alloc, zero }: ClusterEntry, subcluster: number): SubclusterKind {
  const bit = 2 ** subcluster;
  return (alloc & bit) !== 0 ? 'data' : (zero & bit) !== 0 ? 'zero' : 'backing';
}

/** A bit for each subcluster of the kind. */
function bitsOf({ alloc, zero }: ClusterEntry, kind: SubclusterKind): number {
  if (kind === 'data') return alloc;
  return kind === 'zero' ? zero : ~(alloc | zero);
}

/** Whether the first subclusters of a cluster go on with what another one, `distance` bytes before it, ends with. */
function follows(first: ClusterEntry, next: ClusterEntry, distance: number, kind: SubclusterKind): boolean {
  if (next.kind === 'compressed' || kindOf(next, 0) !== kind) return false;
  return (
    first.allocated === next.allocated &&
    first.copied === next.copied &&
    (!first.allocated || next.hostOffset === first.hostOffset + distance)
  );
}

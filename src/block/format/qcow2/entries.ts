/** Reading the entries of L2 slices that are in the cache. */
import { decodeEntry, entryLow, ownedHigh, type ClusterEntry } from './l2-entry.ts';
import { ENTRY_LENGTH } from './layout.ts';
import type { Metadata } from './metadata.ts';

/**
 * Decodes an entry of a slice that is in the cache.
 *
 * @throws BlockError `corrupt` when it contradicts the specification
 */
export function readEntry(metadata: Metadata, slot: number, slice: number, index: number): ClusterEntry {
  const { geometry, l2 } = metadata;
  const view = l2.view(slot);
  const at = l2.start(slot) + index * geometry.entryLength;
  const guest = guestOffsetOf(metadata, slice, index);
  if (geometry.entryLength === ENTRY_LENGTH) {
    return decodeEntry(view.getUint32(at), view.getUint32(at + 4), geometry, guest);
  }
  const bits = { zero: view.getUint32(at + 8), alloc: view.getUint32(at + 12) };
  return decodeEntry(view.getUint32(at), view.getUint32(at + 4), geometry, guest, bits);
}

/**
 * How many entries in a row say nothing, not even of a subcluster: most of what is allocated was such a run before, and is not decoded.
 *
 * @param most how many to look at, all in the slice
 */
export function countEmpty({ geometry, l2 }: Metadata, slot: number, index: number, most: number): number {
  const { entryLength } = geometry;
  const view = l2.view(slot);
  const begin = l2.start(slot) + index * entryLength;
  const end = begin + most * entryLength;
  let at = begin;
  while (at < end && view.getUint32(at) === 0) at += 4;
  return Math.floor((at - begin) / entryLength);
}

/** Lets entries lead to host clusters in a row, each its own and stored whole. Not for extended entries. */
export function setOwned(metadata: Metadata, slot: number, index: number, count: number, hostOffset: number): void {
  const { clusterSize } = metadata.geometry;
  for (let at = 0; at < count; at++) {
    const offset = hostOffset + at * clusterSize;
    metadata.setEntry(slot, index + at, ownedHigh(offset), entryLow(offset));
  }
}

/** Where the disk has the cluster of an entry, in bytes. */
export function guestOffsetOf({ geometry }: Metadata, slice: number, index: number): number {
  return slice * geometry.sliceSpan + index * geometry.clusterSize;
}

/** Reading the entries of L2 slices that are in the cache. */
import { decodeEntry, type ClusterEntry } from './l2-entry.ts';
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

/** Where the disk has the cluster of an entry, in bytes. */
export function guestOffsetOf({ geometry }: Metadata, slice: number, index: number): number {
  return slice * geometry.sliceSpan + index * geometry.clusterSize;
}

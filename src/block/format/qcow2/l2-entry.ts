/**
 * What the entry of an L2 table says about its guest cluster.
 *
 * Source: qcow2 specification, "Cluster mapping".
 */
import { BlockError } from '../../error.ts';
import {
  ENTRY_COPIED,
  ENTRY_OFFSET_HIGH,
  ENTRY_OFFSET_LOW,
  L2_COMPRESSED,
  L2_RESERVED_HIGH,
  L2_RESERVED_LOW,
  L2_ZERO,
} from './layout.ts';

export type ClusterKind =
  /** This image holds nothing: the backing file answers. */
  | 'unallocated'
  | 'data'
  /** Reads as zeroes; a host cluster may be reserved for it. */
  | 'zero'
  | 'compressed';

export interface ClusterEntry {
  readonly kind: ClusterKind;
  /** Bytes; 0: no host cluster. Not decoded for compressed clusters. */
  readonly hostOffset: number;
  /** The host cluster belongs to this entry alone. */
  readonly copied: boolean;
}

/** What it takes to judge an entry. */
export interface EntryRules {
  readonly version: 2 | 3;
  readonly clusterSize: number;
}

/**
 * @param high bits 63 to 32 of the entry @param low bits 31 to 0
 * @param guestOffset of the cluster, for messages
 * @throws BlockError `corrupt` when the entry contradicts the specification
 */
export function decodeEntry(high: number, low: number, rules: EntryRules, guestOffset: number): ClusterEntry {
  const copied = (high & ENTRY_COPIED) !== 0;
  if ((high & L2_COMPRESSED) !== 0) {
    if (copied) throw broken('is compressed and marked as writable in place', guestOffset);
    return { kind: 'compressed', hostOffset: 0, copied: false };
  }
  if ((high & L2_RESERVED_HIGH) !== 0 || (low & L2_RESERVED_LOW) !== 0) {
    throw broken('has reserved bits set', guestOffset);
  }
  const hostOffset = (high & ENTRY_OFFSET_HIGH) * 2 ** 32 + ((low & ENTRY_OFFSET_LOW) >>> 0);
  if (hostOffset % rules.clusterSize !== 0) {
    throw broken(`leads to ${hostOffset}, which is not the beginning of a cluster`, guestOffset);
  }
  if (hostOffset > Number.MAX_SAFE_INTEGER) throw broken('leads to an offset of 2^53 or more', guestOffset);
  if (hostOffset === 0 && copied) throw broken('says that the header is its data', guestOffset);
  const zero = (low & L2_ZERO) !== 0;
  if (zero && rules.version === 2) {
    throw broken('is a zero cluster, which version 2 of the format does not have', guestOffset);
  }
  return { kind: zero ? 'zero' : hostOffset === 0 ? 'unallocated' : 'data', hostOffset, copied };
}

function broken(what: string, guestOffset: number): BlockError {
  return new BlockError(
    'corrupt',
    `The L2 entry of the guest cluster at offset ${guestOffset} ${what}: check the image`,
    { offset: guestOffset },
  );
}

/** High half of an entry, with the flag that the cluster belongs to it alone. */
export function ownedHigh(hostOffset: number): number {
  return ENTRY_COPIED + Math.floor(hostOffset / 2 ** 32);
}

/** Low half of an entry. */
export function entryLow(hostOffset: number): number {
  return hostOffset % 2 ** 32;
}

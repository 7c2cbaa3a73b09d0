/**
 * What the entry of an L2 table says about its guest cluster, and which of its subclusters. A cluster of an image without
 * extended L2 entries is one subcluster, so that all that changes tables works alike on both.
 *
 * Source: qcow2 specification, "Cluster mapping" and "Extended L2 Entries".
 */
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import {
  ENTRY_COPIED,
  ENTRY_OFFSET_HIGH,
  ENTRY_OFFSET_LOW,
  L2_COMPRESSED,
  L2_RESERVED_HIGH,
  L2_RESERVED_LOW,
  L2_ZERO,
  SUBCLUSTERS,
} from './layout.ts';

export type ClusterKind =
  /** This image holds nothing: the backing file answers. */
  | 'unallocated'
  | 'data'
  /** Reads as zeroes; a host cluster may be reserved for it. */
  | 'zero'
  | 'compressed'
  /** The subclusters differ, or space is reserved and holds nothing yet: the bits tell. */
  | 'mixed';

/** A bit for each subcluster, bit 0 for the first. Neither bit: the backing file answers. */
export interface SubclusterBits {
  /** Reads as zeroes. */
  readonly zero: number;
  /** Stored in the host cluster. */
  readonly alloc: number;
}

/** What an entry says, and what it takes to write one. */
export interface ClusterPlace extends SubclusterBits {
  /** There is a host cluster, or bytes of one or two where it is compressed. */
  readonly allocated: boolean;
  /** Bytes; 0 where there is no host cluster. */
  readonly hostOffset: number;
  /** The host cluster belongs to this entry alone. */
  readonly copied: boolean;
}

export interface ClusterEntry extends ClusterPlace {
  readonly kind: ClusterKind;
  /** Bytes that a compressed cluster takes at most, from `hostOffset` (anywhere) to the end of a sector; 0 for others. */
  readonly storedLength: number;
}

/** What an entry says that is zero. */
export const EMPTY_ENTRY: ClusterEntry = Object.freeze({
  kind: 'unallocated',
  allocated: false,
  hostOffset: 0,
  storedLength: 0,
  copied: false,
  zero: 0,
  alloc: 0,
});

/** What it takes to judge an entry. */
export interface EntryRules {
  readonly version: 2 | 3;
  readonly clusterSize: number;
  /** 32, or 1 without extended entries. */
  readonly subclusters: number;
  /** Clusters are in an external data file, each at its guest offset, and 0 is one. */
  readonly externalData: boolean;
}

export const NO_BITS: SubclusterBits = Object.freeze({ zero: 0, alloc: 0 });

/** An entry that says nothing. */
export const NO_CLUSTER: ClusterPlace = Object.freeze({ allocated: false, hostOffset: 0, copied: false, ...NO_BITS });

/**
 * @param high bits 63 to 32 of the entry @param low bits 31 to 0
 * @param guestOffset of the cluster, for messages
 * @param bits the second half of an extended entry
 * @throws BlockError `corrupt` when the entry contradicts the specification
 */
export function decodeEntry(
  high: number,
  low: number,
  rules: EntryRules,
  guestOffset: number,
  bits: SubclusterBits = NO_BITS,
): ClusterEntry {
  const copied = (high & ENTRY_COPIED) !== 0;
  if ((high & L2_COMPRESSED) !== 0) {
    if (copied) throw broken('is compressed and marked as writable in place', guestOffset);
    if (rules.externalData) throw broken('is compressed, and the data is in an external data file', guestOffset);
    if (bits.zero !== 0 || bits.alloc !== 0) throw broken('is compressed and has subclusters', guestOffset);
    return compressedEntry(high, low, rules, guestOffset);
  }
  if ((high & L2_RESERVED_HIGH) !== 0 || (low & L2_RESERVED_LOW) !== 0) {
    throw broken('has reserved bits set', guestOffset);
  }
  const hostOffset = (high & ENTRY_OFFSET_HIGH) * 2 ** 32 + ((low & ENTRY_OFFSET_LOW) >>> 0);
  if (hostOffset % rules.clusterSize !== 0) {
    throw broken(`leads to ${hostOffset}, which is not the beginning of a cluster`, guestOffset);
  }
  if (hostOffset > Number.MAX_SAFE_INTEGER) throw broken('leads to an offset of 2^53 or more', guestOffset);
  if (hostOffset === 0 && copied && !rules.externalData) throw broken('says that the header is its data', guestOffset);
  const place = { allocated: hostOffset !== 0 || copied, hostOffset, storedLength: 0, copied };
  if (rules.externalData && place.allocated && hostOffset !== guestOffset) {
    throw broken(`leads to ${hostOffset} in the external data file, and not to the guest offset`, guestOffset);
  }
  if (rules.subclusters > 1) return extendedEntry(place, bits, guestOffset);
  const zero = (low & L2_ZERO) !== 0;
  if (zero && rules.version === 2) {
    throw broken('is a zero cluster, which version 2 of the format does not have', guestOffset);
  }
  if (zero) return { kind: 'zero', ...place, zero: 1, alloc: 0 };
  return place.allocated
    ? { kind: 'data', ...place, zero: 0, alloc: 1 }
    : { kind: 'unallocated', ...place, ...NO_BITS };
}

/** To who changes tables it is a cluster that is stored whole, and not its own. */
function compressedEntry(high: number, low: number, rules: EntryRules, guestOffset: number): ClusterEntry {
  const { offset: hostOffset, length: storedLength } = compressedRegion(high, low, rules.clusterSize);
  if (hostOffset < rules.clusterSize) throw broken('says that the header is its compressed data', guestOffset);
  if (!Number.isSafeInteger(hostOffset)) throw broken('leads to an offset of 2^53 or more', guestOffset);
  const alloc = allSubclusters(rules.subclusters);
  return { kind: 'compressed', allocated: true, hostOffset, storedLength, copied: false, zero: 0, alloc };
}

/** The flag of zero clusters means nothing here: QEMU does not look at it either. */
function extendedEntry(
  place: Omit<ClusterEntry, 'kind' | keyof SubclusterBits>,
  { zero, alloc }: SubclusterBits,
  guestOffset: number,
): ClusterEntry {
  if ((zero & alloc) !== 0)
    throw broken('says of subclusters that they are stored and that they are zero', guestOffset);
  if (alloc !== 0 && !place.allocated) throw broken('has subclusters that are stored nowhere', guestOffset);
  const all = allSubclusters(SUBCLUSTERS);
  const empty = !place.allocated && zero === 0;
  const kind = alloc === all ? 'data' : zero === all ? 'zero' : empty ? 'unallocated' : 'mixed';
  return { kind, ...place, zero, alloc };
}

function broken(what: string, guestOffset: number): BlockError {
  return new BlockError(
    'corrupt',
    `The L2 entry of the guest cluster at offset ${guestOffset} ${what}: check the image`,
    { offset: guestOffset },
  );
}

/** High half of an entry. */
export function entryHigh({ allocated, hostOffset, copied }: ClusterPlace): number {
  return allocated ? Math.floor(hostOffset / 2 ** 32) + (copied ? ENTRY_COPIED : 0) : 0;
}

/** High half of an entry, with the flag that the cluster belongs to it alone. */
export function ownedHigh(hostOffset: number): number {
  return ENTRY_COPIED + Math.floor(hostOffset / 2 ** 32);
}

/** Low half of an entry. */
export function entryLow(hostOffset: number): number {
  return hostOffset % 2 ** 32;
}

// ── Compressed clusters ─────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Of the 62 bits of a compressed cluster's descriptor the lower ones are the offset, the upper ones count sectors: more of them, the
 * larger the clusters. @returns how many bits of the high half belong to the offset
 */
function offsetBitsInHigh(clusterSize: number): number {
  return 62 - (Math.log2(clusterSize) - 8) - 32;
}

/**
 * Where a compressed cluster's bytes are, as far as its descriptor tells: it counts the sectors that they touch.
 *
 * Source: qcow2 specification, "Compressed Clusters Descriptor".
 */
export function compressedRegion(high: number, low: number, clusterSize: number): { offset: number; length: number } {
  const bits = offsetBitsInHigh(clusterSize);
  const offset = (high & (2 ** bits - 1)) * 2 ** 32 + (low >>> 0);
  const moreSectors = (high & ~(ENTRY_COPIED | L2_COMPRESSED)) >>> bits;
  return { offset, length: (moreSectors + 1) * SECTOR_SIZE - (offset % SECTOR_SIZE) };
}

/** High half of the entry of a compressed cluster; the low half is `entryLow`. @param length bytes, at most a cluster */
export function compressedHigh(hostOffset: number, length: number, clusterSize: number): number {
  const moreSectors = Math.floor((hostOffset + length - 1) / SECTOR_SIZE) - Math.floor(hostOffset / SECTOR_SIZE);
  return L2_COMPRESSED + moreSectors * 2 ** offsetBitsInHigh(clusterSize) + Math.floor(hostOffset / 2 ** 32);
}

/** Compressed clusters lie before this offset: their entries have no bits for more. */
export function compressedOffsetLimit(clusterSize: number): number {
  return Math.min(2 ** (32 + offsetBitsInHigh(clusterSize)), Number.MAX_SAFE_INTEGER);
}

/** The clusters of the file that an entry refers to, once each. A count of 0: none. */
export function hostClusters(entry: ClusterEntry, clusterSize: number): { first: number; count: number } {
  const { allocated, hostOffset, storedLength } = entry;
  if (!allocated) return { first: 0, count: 0 };
  return hostRange(hostOffset, storedLength === 0 ? 1 : storedLength, clusterSize);
}

/** The clusters of the file that bytes lie in. @param length 1 or more */
export function hostRange(offset: number, length: number, clusterSize: number): { first: number; count: number } {
  const first = Math.floor(offset / clusterSize);
  return { first, count: Math.floor((offset + length - 1) / clusterSize) - first + 1 };
}

// ── Bits ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The bits of all subclusters of a cluster. */
export function allSubclusters(subclusters: number): number {
  return 2 ** subclusters - 1;
}

/** The bits of the subclusters from `from` up to, without, `to`. */
export function subclusterRange(from: number, to: number): number {
  return 2 ** to - 2 ** from;
}

/** How many bits from `from` on are all set. */
export function setRun(bits: number, from: number): number {
  const clear = ~bits >>> from;
  return clear === 0 ? 32 - from : lowestBit(clear);
}

/** Number of the lowest bit that is set; 32 without one. */
export function lowestBit(bits: number): number {
  return bits === 0 ? 32 : 31 - Math.clz32(bits & -bits);
}

/** Number of the highest bit that is set; -1 without one. */
export function highestBit(bits: number): number {
  return 31 - Math.clz32(bits);
}

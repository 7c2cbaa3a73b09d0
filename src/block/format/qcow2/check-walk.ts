/**
 * Counts who refers to which cluster: the header, the L1 and L2 tables of the disk and of its snapshots, data, bitmaps.
 *
 * An L2 table is read once, however many L1 entries lead to it, and then counts that many times. So the work is bounded by the
 * size of the file, whatever the tables say.
 */
import type { Co } from '../../co.ts';
import { entryOffset, entryText, type CheckedImage } from './check-image.ts';
import type { SnapshotL1 } from './check-snapshots.ts';
import { NO_BITS, type SubclusterBits } from './l2-entry.ts';
import { walkBitmaps, type BitmapRepair } from './check-bitmaps.ts';
import {
  ENTRY_COPIED,
  ENTRY_LENGTH,
  L1_RESERVED_HIGH,
  L1_RESERVED_LOW,
  L2_COMPRESSED,
  L2_NOT_PLAIN_HIGH,
  L2_RESERVED_HIGH,
  L2_RESERVED_LOW,
  L2_ZERO,
} from './layout.ts';
import { compressedRegion } from './l2-entry.ts';

/**
 * Counts all references but those of the refcount structures and the snapshot table itself.
 *
 * @returns what a repair is to do with the bitmaps when everything is counted
 */
export function* walkReferences(image: CheckedImage, snapshots: readonly SnapshotL1[]): Co<BitmapRepair | undefined> {
  const { tables } = image;
  image.refer(0, tables.clusterSize);
  for (const { offset, length } of tables.otherRegions) image.refer(offset, length);
  // More L1 entries than fit into the file are only there if tables overlap.
  let budget = Math.ceil(image.fileLength / ENTRY_LENGTH);
  const spend = (entries: number): boolean => (budget -= entries) >= 0;
  yield* walkL1(image, tables.l1Offset, tables.l1Entries, true);
  spend(Math.min(tables.l1Entries, budget));
  for (const { name, l1Offset, l1Entries } of snapshots) {
    if (spend(l1Entries)) yield* walkL1(image, l1Offset, l1Entries, false);
    else image.findings.corruption(`ERROR snapshot ${name}: the L1 tables of the snapshots overlap`, l1Offset);
  }
  yield* walkL2Tables(image);
  return yield* walkBitmaps(image);
}

function* walkL1(image: CheckedImage, offset: number, entries: number, active: boolean): Co<void> {
  if (active) image.refer(offset, entries * ENTRY_LENGTH);
  else image.referTable(offset, entries);
  yield* image.eachPiece(offset, entries, (piece, first, count) => {
    for (let index = 0; index < count; index++) {
      const high = piece.getUint32(index * 8);
      const low = piece.getUint32(index * 8 + 4);
      if (entryOffset(high, low) !== 0) countL1Entry(image, high, low, active ? first + index : -1);
    }
  });
}

/** @param index of the entry in the active L1 table; -1: it is in another */
function countL1Entry(image: CheckedImage, high: number, low: number, index: number): void {
  const { findings, clusterSize } = image;
  const l2Offset = entryOffset(high, low);
  if ((high & L1_RESERVED_HIGH) !== 0 || (low & L1_RESERVED_LOW) !== 0) {
    findings.corruption(() => `ERROR found L1 entry with reserved bits set: ${entryText(high, low)}`);
  }
  image.refer(l2Offset, clusterSize);
  if (l2Offset % clusterSize !== 0) {
    findings.corruption(
      () => `ERROR l2_offset=${l2Offset.toString(16)}: Table is not cluster aligned; L1 entry corrupted`,
      l2Offset,
    );
  } else if (image.isPlace(l2Offset)) {
    const cluster = image.clusterOf(l2Offset);
    image.tableUses.add(cluster, 1);
    if (index < 0) return;
    image.activeUses.add(cluster, 1);
    if (image.tables.externalData) image.l1Indexes.set(cluster, index);
  }
}

function* walkL2Tables(image: CheckedImage): Co<void> {
  const { tableUses } = image;
  const first = tableUses.nextUsed(0);
  for (let cluster = first; cluster < tableUses.length; cluster = tableUses.nextUsed(cluster + 1)) {
    yield* walkL2(image, cluster);
    yield* image.pause(cluster);
  }
}

function* walkL2(image: CheckedImage, cluster: number): Co<void> {
  const { clusterSize } = image;
  const counter = new L2Counter(image, cluster);
  yield* image.eachPiece(cluster * clusterSize, clusterSize / ENTRY_LENGTH, (piece, first, count) =>
    counter.countPiece(piece, first, count),
  );
}

/** The second half of an extended entry. The last one may be cut off by the end of the file. */
function bitmapAt(piece: DataView, word: number): SubclusterBits {
  const at = word * ENTRY_LENGTH;
  return at < piece.byteLength ? { zero: piece.getUint32(at), alloc: piece.getUint32(at + 4) } : NO_BITS;
}

/** Counts what the entries of one L2 table refer to. */
class L2Counter {
  readonly #image: CheckedImage;
  /** How many L1 entries lead to the table. */
  readonly #uses: number;
  readonly #activeUses: number;
  /** Guest offset of the table's first cluster. */
  readonly #guestStart: number;
  /** Where the next cluster would have to be for the data to lie in one piece; 0: not known. */
  #contiguousOffset = 0;

  constructor(image: CheckedImage, cluster: number) {
    this.#image = image;
    this.#uses = image.tableUses.get(cluster);
    this.#activeUses = image.activeUses.get(cluster);
    const { clusterSize, l2EntryLength } = image.tables;
    this.#guestStart = (image.l1Indexes.get(cluster) ?? 0) * (clusterSize / l2EntryLength) * clusterSize;
  }

  /** @param first the index of the piece's first 64-bit word in the table. @param count how many there are */
  countPiece(piece: DataView, first: number, count: number): void {
    const { l2EntryLength, externalData } = this.#image.tables;
    const words = l2EntryLength / ENTRY_LENGTH;
    const plain = words === 1 && !externalData;
    for (let index = 0; index < count; index += words) {
      const high = piece.getUint32(index * 8);
      const low = piece.getUint32(index * 8 + 4);
      if (plain && this.#countPlain(high, low)) continue;
      const bits = words === 1 ? NO_BITS : bitmapAt(piece, index + 1);
      if (high !== 0 || low !== 0 || bits.alloc !== 0) this.#count(high, low, bits, (first + index) / words);
    }
  }

  /** What nearly all entries are: data in the file, without anything else to be said of it. @returns false for all others */
  #countPlain(high: number, low: number): boolean {
    const image = this.#image;
    const { clusterSize } = image.tables;
    if ((high & L2_NOT_PLAIN_HIGH) !== 0 || (low & (clusterSize - 1)) !== 0) return false;
    const offset = (high & ~ENTRY_COPIED) * 2 ** 32 + low;
    if (offset === 0 || offset + clusterSize > image.fileLength) return false;
    const cluster = offset / clusterSize;
    image.references.add(cluster, this.#uses);
    if (this.#activeUses > 0) image.flags.note(cluster, high >= ENTRY_COPIED);
    this.#countAllocated(offset);
    return true;
  }

  #countAllocated(offset: number): void {
    const image = this.#image;
    image.allocatedClusters += this.#activeUses;
    if (this.#contiguousOffset !== 0 && offset !== this.#contiguousOffset) image.fragmentedClusters += this.#activeUses;
    this.#contiguousOffset = offset + image.tables.clusterSize;
  }

  /** @param index the entry's number in its table */
  #count(high: number, low: number, bits: SubclusterBits, index: number): void {
    this.#checkBits(high, low, bits, index);
    if (this.#activeUses > 0) this.#noteFlag(high, low);
    if ((high & L2_COMPRESSED) !== 0) {
      if (this.#image.tables.externalData) this.#foundCompressed(high, low, index);
      else this.#countCompressed(high, low);
      return;
    }
    if ((high & L2_RESERVED_HIGH) !== 0 || (low & L2_RESERVED_LOW) !== 0) {
      const message = () => `ERROR found l2 entry with reserved bits set: ${entryText(high, low)}`;
      this.#image.findings.corruption(message, undefined, this.#uses);
    }
    if (this.#isAllocated(high, low)) this.#countData(high, low, index);
  }

  #noteFlag(high: number, low: number): void {
    const image = this.#image;
    const offset = entryOffset(high, low);
    if ((high & L2_COMPRESSED) !== 0 || offset === 0) return;
    if (image.tables.externalData || !image.isPlace(offset)) image.flags.unclear = true;
    else image.flags.note(image.clusterOf(offset), (high & ENTRY_COPIED) !== 0);
  }

  /** What is stored for a compressed cluster stays counted, so that a repair does not give it away. QEMU does not count it. */
  #checkBits(high: number, low: number, { zero, alloc }: SubclusterBits, index: number): void {
    const { findings } = this.#image;
    const offset = entryOffset(high, low);
    if ((high & L2_COMPRESSED) !== 0) {
      if (zero === 0 && alloc === 0) return;
      const what = `compressed cluster ${index} with non-zero subcluster allocation bitmap`;
      findings.corruption(`ERROR ${what}, entry=0x${entryText(high, low)}`, undefined, this.#uses);
    } else if (!this.#isAllocated(high, low) && alloc !== 0) {
      findings.corruption('ERROR: Unallocated cluster has non-zero subcluster allocation map', undefined, this.#uses);
    } else if ((zero & alloc) !== 0) {
      const what = 'Allocated cluster has corrupted subcluster allocation bitmap';
      findings.corruption(`ERROR offset=${offset.toString(16)}: ${what}`, offset, this.#uses);
    }
  }

  /** An external data file has data at 0 too, and the flag that tells it. */
  #isAllocated(high: number, low: number): boolean {
    return entryOffset(high, low) !== 0 || (this.#image.tables.externalData && (high & ENTRY_COPIED) !== 0);
  }

  #countCompressed(high: number, low: number): void {
    const image = this.#image;
    const { offset, length } = compressedRegion(high, low, image.clusterSize);
    if ((high & ENTRY_COPIED) !== 0) {
      image.findings.corruption(
        () => `ERROR: coffset=0x${offset.toString(16)}: copied flag must never be set for compressed clusters`,
        offset,
        this.#uses,
      );
    }
    image.refer(offset, length, this.#uses);
    // Compressed clusters are fragmented by their nature.
    image.allocatedClusters += this.#activeUses;
    image.compressedClusters += this.#activeUses;
    image.fragmentedClusters += this.#activeUses;
  }

  #foundCompressed(high: number, low: number, index: number): void {
    const message = () => `ERROR compressed cluster ${index} with data file, entry=0x${entryText(high, low)}`;
    this.#image.findings.corruption(message, undefined, this.#uses);
  }

  /** Data in an external file lies at its guest offset. QEMU finds that out only when it is read. */
  #checkExternal(offset: number, index: number): void {
    const guest = this.#guestStart + index * this.#image.clusterSize;
    if (offset === guest || this.#activeUses !== 1) return;
    const message = () =>
      `ERROR offset=${offset.toString(16)}: External data is not at its guest offset ${guest.toString(16)}`;
    this.#image.findings.corruption(message, undefined, this.#uses);
  }

  #countData(high: number, low: number, index: number): void {
    const image = this.#image;
    const { findings, clusterSize } = image;
    const offset = entryOffset(high, low);
    // The flags' pass makes it a plain zero cluster: then nothing is reserved any more.
    if (findings.fix === 'all' && isBrokenReservation(high, low, image)) {
      image.hasBrokenReservation = true;
      return;
    }
    this.#countAllocated(offset);
    if (offset % clusterSize !== 0)
      findings.corruption(() => `ERROR ${misalignment(high, low, image)}`, offset, this.#uses);
    else if (image.tables.externalData) this.#checkExternal(offset, index);
    if (image.tables.externalData) return;
    image.refer(offset, clusterSize, this.#uses);
  }
}

/**
 * Whether an L2 entry reserves, for a cluster of zeroes, space at a place where none can be. A repair drops the reservation.
 * Extended entries have no such clusters: the flag means nothing there.
 */
export function isBrokenReservation(high: number, low: number, { clusterSize, tables }: CheckedImage): boolean {
  return isZeroCluster(low, tables) && (high & L2_COMPRESSED) === 0 && entryOffset(high, low) % clusterSize !== 0;
}

function isZeroCluster(low: number, { l2EntryLength }: CheckedImage['tables']): boolean {
  return (low & L2_ZERO) !== 0 && l2EntryLength === ENTRY_LENGTH;
}

/** What qemu-img says, after its verb, of an L2 entry whose offset is not a cluster's. */
export function misalignment(high: number, low: number, { tables }: CheckedImage): string {
  const what = isZeroCluster(low, tables) ? 'Preallocated cluster' : 'Data cluster';
  return `offset=${entryOffset(high, low).toString(16)}: ${what} is not properly aligned; L2 entry corrupted.`;
}

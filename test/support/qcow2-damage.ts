/** Ways to damage a qcow2 file, for tests of checking, repairing and of what hostile images do. */
import type { Random } from './random.ts';

/** A file with what its header says, read without checking anything. */
export class Qcow2File {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get clusterSize(): number {
    return 2 ** Math.min(21, this.#view.getUint32(20));
  }

  get l1Offset(): number {
    return Number(this.entry(40));
  }

  get l1Entries(): number {
    return this.#view.getUint32(36);
  }

  /** Offsets of the entries of the snapshot table, as far as they are in the file. */
  snapshotEntries(): number[] {
    const entries: number[] = [];
    let offset = Number(this.entry(64));
    const count = Math.min(1000, this.#view.getUint32(60));
    while (entries.length < count && this.#fits(offset, 40)) {
      entries.push(offset);
      const text = this.#view.getUint16(offset + 12) + this.#view.getUint16(offset + 14);
      offset += Math.ceil((40 + this.#view.getUint32(offset + 36) + text) / 8) * 8;
    }
    return entries;
  }

  /** Offsets of the entries in the L1 tables of snapshots that lead somewhere. */
  snapshotL1(): number[] {
    return this.snapshotEntries().flatMap((at) => {
      const l1 = Number(this.entry(at));
      return this.#fits(at + 8, 4) && Number.isSafeInteger(l1)
        ? this.#used(l1, Math.min(4096, this.#view.getUint32(at + 8)))
        : [];
    });
  }

  /** Where the bitmaps extension, its directory's entries and the tables of bitmaps begin. */
  bitmapPlaces(): number[] {
    for (let at = 104; at < 1024 && this.#fits(at, 40); at += 8) {
      if (this.#view.getUint32(at) !== 0x2385_2875) continue;
      const places = [at + 8];
      const count = Math.min(100, this.#view.getUint32(at + 8));
      let entry = Number(this.entry(at + 24));
      for (let index = 0; index < count && this.#fits(entry, 24); index++) {
        places.push(entry, Number(this.entry(entry)));
        entry += Math.ceil((24 + this.#view.getUint16(entry + 18) + this.#view.getUint32(entry + 20)) / 8) * 8;
      }
      return places;
    }
    return [];
  }

  get refcountTableOffset(): number {
    return Number(this.entry(48));
  }

  get refcountBits(): number {
    return this.#view.getUint32(4) === 2 ? 16 : 2 ** Math.min(6, this.#view.getUint32(96));
  }

  /** The 64-bit number at an offset; 0 outside the file. */
  entry(offset: number): bigint {
    return this.#fits(offset, 8) ? this.#view.getBigUint64(offset) : 0n;
  }

  /** Changes the 64-bit number at an offset, if that is in the file. */
  change(offset: number, to: (entry: bigint) => bigint): void {
    if (this.#fits(offset, 8)) this.#view.setBigUint64(offset, BigInt.asUintN(64, to(this.entry(offset))));
  }

  setByte(offset: number, value: number): void {
    if (this.#fits(offset, 1)) this.#view.setUint8(offset, value);
  }

  setUint32(offset: number, value: number): void {
    if (this.#fits(offset, 4)) this.#view.setUint32(offset, value);
  }

  /** Offsets of the L1 entries that lead somewhere. */
  usedL1(): number[] {
    return this.#used(this.l1Offset, this.l1Entries);
  }

  /** Offsets of the L2 entries that are not zero. */
  usedL2(): number[] {
    return this.usedL1().flatMap((at) => this.#used(target(this.entry(at)), this.clusterSize / 8, this.l2EntryBytes));
  }

  /** 16 with subclusters. */
  get l2EntryBytes(): number {
    return this.#view.getUint32(4) > 2 && (this.entry(72) & 16n) !== 0n ? 16 : 8;
  }

  /** Offsets of the refcount table's entries that lead somewhere. */
  usedRefcountTable(): number[] {
    return this.#used(this.refcountTableOffset, this.clusterSize / 8);
  }

  /** Adds to the refcount of a cluster, which wraps around. */
  changeRefcount(cluster: number, by: number): void {
    const bits = this.refcountBits;
    const perBlock = (this.clusterSize * 8) / bits;
    const block = target(this.entry(this.refcountTableOffset + Math.floor(cluster / perBlock) * 8));
    const index = cluster % perBlock;
    if (block === 0) return;
    if (bits < 8) {
      const at = block + Math.floor((index * bits) / 8);
      const shift = (index * bits) % 8;
      const mask = (2 ** bits - 1) << shift;
      const old = this.bytes[at] ?? 0;
      this.setByte(at, (old & ~mask) | ((old + (by << shift)) & mask));
      return;
    }
    // The lowest byte is enough for small counts, whatever their width.
    const at = block + (index + 1) * (bits / 8) - 1;
    this.setByte(at, ((this.bytes[at] ?? 0) + by + 256) % 256);
  }

  #used(offset: number, words: number, step = 8): number[] {
    const used: number[] = [];
    const end = Math.min(offset + words * 8, this.bytes.length);
    for (let at = offset; at < end; at += step) if (this.entry(at) !== 0n) used.push(at);
    return used;
  }

  #fits(offset: number, length: number): boolean {
    return Number.isSafeInteger(offset) && offset >= 0 && offset + length <= this.bytes.length;
  }
}

/** Changes the subcluster bitmaps of extended entries; does nothing to others. */
function changeBitmap(file: Qcow2File, random: Random, to: (bitmap: bigint) => bigint): void {
  if (file.l2EntryBytes === 16) file.change(anyOf(file.usedL2(), random) + 8, to);
}

/** The offset in a table entry. */
export function target(entry: bigint): number {
  return Number(entry & 0x00ff_ffff_ffff_fe00n);
}

const COPIED = 1n << 63n;
const COMPRESSED = 1n << 62n;

/** A damage; some need an image that has what they damage, and do nothing to others. */
export type Damage = (file: Qcow2File, random: Random) => void;

function anyOf(offsets: readonly number[], random: Random): number {
  return offsets.length === 0 ? -1 : random.pick(offsets);
}

/** A cluster somewhere in the file, behind the header. */
function someCluster(file: Qcow2File, random: Random): number {
  return random.between(1, Math.max(1, Math.ceil(file.bytes.length / file.clusterSize) - 1));
}

/** Wrong counts and flags: the guest's data is all there, and a repair must keep it. */
export const harmlessDamages: Readonly<Record<string, Damage>> = {
  refcountTooHigh: (file, random) => file.changeRefcount(someCluster(file, random), 1),
  refcountTooLow: (file, random) => file.changeRefcount(someCluster(file, random), -1),
  l1FlagWrong: (file, random) => file.change(anyOf(file.usedL1(), random), (entry) => entry ^ COPIED),
  l2FlagWrong: (file, random) =>
    file.change(anyOf(file.usedL2(), random), (entry) => ((entry & COMPRESSED) === 0n ? entry ^ COPIED : entry)),
  refcountBlockLost: (file, random) => file.change(anyOf(file.usedRefcountTable(), random), () => 0n),
  refcountBlockOutside: (file, random) => file.change(anyOf(file.usedRefcountTable(), random), () => 1n << 40n),
  refcountTableGarbage: (file, random) =>
    file.change(file.refcountTableOffset + 8 * random.below(file.clusterSize / 8), () => 4n),
  refcountBlockTwice: (file) =>
    file.change(file.refcountTableOffset + file.clusterSize - 8, () => file.entry(file.refcountTableOffset)),
  refcountBlockGarbage: (file, random) => {
    const block = target(file.entry(file.refcountTableOffset));
    for (let count = 0; count < 9; count++) file.setByte(block + random.below(file.clusterSize), random.below(4));
  },
};

/** Tables that lead astray: what the guest reads is no longer what was written. */
export const mappingDamages: Readonly<Record<string, Damage>> = {
  l2EntryTwice: (file, random) => {
    const used = file.usedL2();
    const from = anyOf(used, random);
    file.change(anyOf(used, random), () => file.entry(from));
  },
  l2EntryOutside: (file, random) => file.change(anyOf(file.usedL2(), random), () => COPIED | (1n << 41n)),
  l2EntryJustOutside: (file, random) => {
    const end = BigInt(Math.ceil(file.bytes.length / file.clusterSize) + random.below(3)) * BigInt(file.clusterSize);
    file.change(anyOf(file.usedL2(), random), () => COPIED | end);
  },
  l2EntryUnaligned: (file, random) => file.change(anyOf(file.usedL2(), random), (entry) => entry ^ 0x200n),
  l2ZeroUnaligned: (file, random) => file.change(anyOf(file.usedL2(), random), (entry) => (entry ^ 0x200n) | 1n),
  l2Reserved: (file, random) => file.change(anyOf(file.usedL2(), random), (entry) => entry | (1n << 57n)),
  l2Compressed: (file, random) => file.change(anyOf(file.usedL2(), random), (entry) => entry | COMPRESSED),
  l2CopiedCompressed: (file, random) =>
    file.change(anyOf(file.usedL2(), random), (entry) => entry | COMPRESSED | COPIED),
  l2IntoMetadata: (file, random) =>
    file.change(anyOf(file.usedL2(), random), () => COPIED | BigInt(file.clusterSize * random.below(5))),
  bitmapContradicts: (file, random) =>
    changeBitmap(file, random, (bitmap) => bitmap | (bitmap << 32n) | (1n << 35n) | 8n),
  bitmapWithoutCluster: (file) => {
    if (file.l2EntryBytes === 16) file.change(target(file.entry(file.l1Offset)) + file.clusterSize - 8, () => 6n);
  },
  l1EntryTwice: (file, random) => {
    const used = file.usedL1();
    const from = anyOf(used, random);
    file.change(file.l1Offset + 8 * random.below(Math.max(1, file.l1Entries)), () => file.entry(from));
  },
  l1EntryOutside: (file, random) => file.change(anyOf(file.usedL1(), random), () => COPIED | (1n << 40n)),
  l1Reserved: (file, random) => file.change(anyOf(file.usedL1(), random), (entry) => entry | (1n << 60n)),
};

/** A broken snapshot table, and what it leads to. Nothing happens to images without snapshots. */
export const snapshotDamages: Readonly<Record<string, Damage>> = {
  snapshotExtraTooLarge: (file, random) =>
    file.setUint32(anyOf(file.snapshotEntries().slice(-1), random) + 36, random.pick([1025, 5000, 0xffff_ffff])),
  snapshotExtraShort: (file, random) =>
    file.setUint32(anyOf(file.snapshotEntries().slice(-1), random) + 36, random.pick([0, 8, 15])),
  snapshotExtraUnknown: (file, random) =>
    file.setUint32(anyOf(file.snapshotEntries().slice(-1), random) + 36, random.pick([40, 100])),
  snapshotNameLong: (file, random) => {
    const at = anyOf(file.snapshotEntries().slice(-1), random);
    file.setByte(at + random.pick([13, 15]), 200);
  },
  snapshotOneTooMany: (file) => {
    if (file.snapshotEntries().length > 0) file.setUint32(60, file.snapshotEntries().length + 1);
  },
  snapshotL1Unaligned: (file, random) => file.change(anyOf(file.snapshotEntries(), random), (at) => at + 512n),
  snapshotL1Outside: (file, random) => file.change(anyOf(file.snapshotEntries(), random), () => 1n << 40n),
  snapshotL1Huge: (file, random) => file.setUint32(anyOf(file.snapshotEntries(), random) + 8, 0x7fff_ffff),
  snapshotL1Reserved: (file, random) => file.change(anyOf(file.snapshotL1(), random), (entry) => entry | (1n << 60n)),
  snapshotL1Flag: (file, random) => file.change(anyOf(file.snapshotL1(), random), (entry) => entry ^ COPIED),
  snapshotL2Zero: (file, random) => {
    const table = target(file.entry(anyOf(file.snapshotL1(), random)));
    file.change(table + 8 * random.below(4), (entry) => (entry === 0n ? entry : (entry ^ 0x200n) | 1n));
  },
};

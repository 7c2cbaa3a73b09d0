import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import { sha256Hex } from '../../../codec/sha256.ts';
import { BYTE_LIMITS, type Storage, type StorageIdentity } from '../../driver.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { ReadOnlyStorage } from '../shared/read-only-storage.ts';
import { mediaByte, partitionTable, reservedSectors, ROOT_CLUSTER } from './boot.ts';
import type { Folder } from './folder.ts';
import { chooseGeometry, FATS, type FatType, type Geometry } from './geometry.ts';
import { describeTree, nameTree, neededFor, placeTree, type PlacedTree, type Run } from './tree.ts';

export interface VolumeOptions {
  readonly fatType: FatType | undefined;
  readonly floppy: boolean;
  /** Eleven bytes. */
  readonly label: Uint8Array;
}

const FREE = 0;
const LAST = 0x0fffffff;

/**
 * A folder as a disk with a FAT volume, read-only. Where everything is follows from names and sizes, which are looked at once; tables
 * are made when they are read, and the content of files comes from the files.
 */
export class VvfatStorage extends ReadOnlyStorage implements Storage {
  readonly limits = BYTE_LIMITS;
  readonly #geometry: Geometry;
  readonly #tree: PlacedTree;
  readonly #label: Uint8Array;
  /** Text about every file: what is different for a folder that changed. */
  readonly #description: () => string;
  /** Bytes: where the parts of the volume begin, the last one ending with the disk. */
  readonly #tables: number;
  readonly #root: number;
  readonly #data: number;

  /** @throws BlockError `no-space` when it does not fit, `unsupported` for files that no FAT volume can have */
  constructor(folder: Folder, filename: string, { fatType, floppy, label }: VolumeOptions) {
    super('vvfat', filename);
    const named = nameTree(folder);
    this.#geometry = chooseGeometry(neededFor(named), fatType, floppy);
    this.#tree = placeTree(named, this.#geometry, label);
    this.#label = label;
    this.#description = () => describeTree(named);
    const { hidden, reserved, fatSectors, rootSectors } = this.#geometry;
    this.#tables = (hidden + reserved) * SECTOR_SIZE;
    this.#root = this.#tables + FATS * fatSectors * SECTOR_SIZE;
    this.#data = this.#root + rootSectors * SECTOR_SIZE;
  }

  getLength(): number {
    this.refuseClosed();
    return (this.#geometry.hidden + this.#geometry.sectors) * SECTOR_SIZE;
  }

  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    this.refuseClosed();
    buffer.fill(0);
    const { hidden } = this.#geometry;
    if (offset < SECTOR_SIZE && hidden > 0) copyOverlap(partitionTable(this.#geometry), 0, offset, buffer);
    if (offset < this.#tables && offset + buffer.length > hidden * SECTOR_SIZE) {
      const sectors = reservedSectors(this.#geometry, this.#label, this.#tree.used);
      copyOverlap(sectors, hidden * SECTOR_SIZE, offset, buffer);
    }
    this.#readTables(offset, buffer);
    copyOverlap(this.#tree.root, this.#root, offset, buffer);
    return offset + buffer.length > this.#data ? start(this.#readClusters(offset, buffer)) : undefined;
  }

  /** Both copies are made of the runs: every entry leads to the next cluster, but for the last of a run. */
  #readTables(offset: number, buffer: Uint8Array): void {
    const { fatSectors, fatType } = this.#geometry;
    const length = fatSectors * SECTOR_SIZE;
    for (let copy = 0; copy < FATS; copy++) {
      const begin = this.#tables + copy * length;
      const from = Math.max(offset, begin);
      const to = Math.min(offset + buffer.length, begin + length);
      if (from >= to) continue;
      const bits = fatType;
      const first = Math.floor(((from - begin) * 8) / bits);
      const last = Math.floor(((to - begin) * 8 - 1) / bits);
      for (let entry = first; entry <= last; entry++) {
        putEntry(buffer, begin - offset, from - offset, to - offset, bits, entry, this.#entry(entry));
      }
    }
  }

  #entry(cluster: number): number {
    if (cluster === 0) return 0x0fffff00 + mediaByte(this.#geometry);
    if (cluster === 1) return LAST;
    const run = this.#runOf(cluster);
    if (run === undefined) return FREE;
    return cluster === run.first + run.count - 1 ? LAST : cluster + 1;
  }

  #runOf(cluster: number): Run | undefined {
    if (cluster >= ROOT_CLUSTER + this.#tree.used) return undefined;
    return this.#tree.runs[this.#runIndex(cluster)];
  }

  /** The last run that begins at a cluster or before it; runs follow one another without gaps. */
  #runIndex(cluster: number): number {
    const { runs } = this.#tree;
    let low = 0;
    let high = runs.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (runs[middle]!.first <= cluster) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  *#readClusters(offset: number, buffer: Uint8Array): Co<void> {
    const clusterBytes = this.#geometry.clusterSectors * SECTOR_SIZE;
    const { runs } = this.#tree;
    const cluster = ROOT_CLUSTER + Math.floor(Math.max(0, offset - this.#data) / clusterBytes);
    for (let index = this.#runIndex(cluster); index < runs.length; index++) {
      const { first, content } = runs[index]!;
      const begin = this.#data + (first - ROOT_CLUSTER) * clusterBytes;
      if (begin >= offset + buffer.length) return;
      if (content instanceof Uint8Array) {
        copyOverlap(content, begin, offset, buffer);
        continue;
      }
      const from = Math.max(offset, begin);
      const to = Math.min(offset + buffer.length, begin + content.size);
      if (from < to) yield* settle(content.read(from - begin, buffer.subarray(from - offset, to - offset)));
    }
  }

  /** Behind the last cluster, and the tables' part that tells of it, everything is zero. */
  blockStatus(offset: number, length: number): { readonly length: number; readonly zero: boolean } {
    this.refuseClosed();
    for (const { begin, end } of this.#filled()) {
      if (offset < begin) return { length: Math.min(length, begin - offset), zero: true };
      if (offset < end) return { length: Math.min(length, end - offset), zero: false };
    }
    return { length, zero: true };
  }

  /** Ranges that may hold something, in order. */
  #filled(): readonly { readonly begin: number; readonly end: number }[] {
    const { fatSectors, fatType, clusterSectors } = this.#geometry;
    const { used, root } = this.#tree;
    const table = Math.ceil(((ROOT_CLUSTER + used) * fatType) / 8);
    const second = this.#tables + fatSectors * SECTOR_SIZE;
    return [
      { begin: 0, end: this.#tables + table },
      { begin: second, end: second + table },
      { begin: this.#root, end: this.#root + root.length },
      { begin: this.#data, end: this.#data + used * clusterSectors * SECTOR_SIZE },
    ];
  }

  /** An overlay holds parts of tables that only fit this folder: another name, size or time makes it another disk. */
  identity(): StorageIdentity {
    const text = new TextEncoder().encode(this.#description());
    return { size: this.getLength(), etag: `"${sha256Hex(text)}"` };
  }

  close(): void {
    this.markClosed();
  }
}

/** Copies what two ranges have in common. @param begin where `bytes` are on the disk. @param offset where the buffer is */
function copyOverlap(bytes: Uint8Array, begin: number, offset: number, buffer: Uint8Array): void {
  const from = Math.max(offset, begin);
  const to = Math.min(offset + buffer.length, begin + bytes.length);
  if (from < to) buffer.set(bytes.subarray(from - begin, to - begin), from - offset);
}

/** Puts the bytes of an entry that lie between `from` and `to`. @param table where the table begins, seen from the buffer */
function putEntry(
  buffer: Uint8Array,
  table: number,
  from: number,
  to: number,
  bits: number,
  entry: number,
  value: number,
): void {
  const bit = entry * bits;
  // Entries of twelve bits begin in the middle of a byte, every other one.
  const shift = bit % 8;
  const shifted = (bits === 32 ? value : value % 2 ** bits) * 2 ** shift;
  const at = table + Math.floor(bit / 8);
  for (let index = 0; index < Math.ceil((bits + shift) / 8); index++) {
    if (at + index < from || at + index >= to) continue;
    buffer[at + index]! |= Math.floor(shifted / 2 ** (8 * index)) & 0xff;
  }
}

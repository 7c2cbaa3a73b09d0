/** What a check works on: the image's tables, what has been counted and found so far, and how it reads. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild, CheckFix, Progress } from '../../driver.ts';
import { TimeSlice } from '../../time-slice.ts';
import type { BlockError } from '../../error.ts';
import type { DirectoryPlace } from './bitmap-directory.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import { SeenFlags } from './check-flags.ts';
import { ClusterReferences } from './check-references.ts';
import { ENTRY_LENGTH, ENTRY_OFFSET_HIGH, ENTRY_OFFSET_LOW } from './layout.ts';

/** A run of bytes in the file. */
export interface Region {
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** Where an image's tables are, as a validated header says it. All offsets are in bytes. */
export interface CheckedTables {
  readonly version: 2 | 3;
  readonly clusterSize: number;
  /** Data is in another file, where nobody counts it. */
  readonly externalData: boolean;
  /** Bytes of an entry in the L2 tables. */
  readonly l2EntryLength: number;
  readonly refcountBits: number;
  readonly virtualSize: number;
  readonly l1Offset: number;
  readonly l1Entries: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  readonly snapshotsOffset: number;
  readonly snapshotCount: number;
  /** The directory of persistent bitmaps, if the image has one, or what is wrong with what the header says of it. */
  readonly bitmapDirectory: DirectoryPlace | BlockError | undefined;
  /** Where the data of the header extension is that leads to it, in bytes, if there is one. */
  readonly bitmapsExtensionOffset: number;
  /** Other regions that the header names, such as an encryption header. */
  readonly otherRegions: readonly Region[];
}

/** Bytes that are read of a table at once. */
const CHUNK_BYTES = 64 * 1024;

export interface CheckOptions {
  readonly progress?: Progress | undefined;
  /** Nobody has asked for the repair: what it would drop stays, and is a finding. */
  readonly keepsBitmaps?: boolean;
}

export class CheckedImage {
  readonly file: BlockChild;
  tables: CheckedTables;
  readonly findings: CheckFindings;
  /** Bytes in the file when the check began, or when the file was last made longer by it. */
  fileLength: number;
  fileClusters: number;
  readonly references: ClusterReferences;
  /** How many L1 entries, of snapshots too, lead to the L2 table in a cluster. */
  readonly tableUses: ClusterReferences;
  /** The same for the active L1 table alone. */
  readonly activeUses: ClusterReferences;
  /** How many other tables of offsets lie in a cluster: L1 tables of snapshots, tables of bitmaps. */
  readonly otherTables: ClusterReferences;
  readonly flags: SeenFlags;
  /** With external data: the index of the last L1 entry that leads to the L2 table in a cluster. */
  readonly l1Indexes = new Map<number, number>();
  allocatedClusters = 0;
  fragmentedClusters = 0;
  compressedClusters = 0;
  /** The first cluster behind the end of the file that something refers to. The check must not make the file reach there. */
  firstOutside = Number.POSITIVE_INFINITY;
  /** The last cluster of something that begins in the file and ends outside, so that it is not counted: nothing may lie there. */
  lastPartlyInside = -1;
  /** Clusters that the check itself has taken or given up: that their refcounts do not follow yet is no finding. */
  readonly moved = new Set<number>();
  /** An L2 entry, maybe of a snapshot, reserves space where none can be. */
  hasBrokenReservation = false;
  /** The last cluster that is counted or referred to; -1: none. */
  highestCluster = -1;
  /** Memory for a piece of a table, when nobody uses it. */
  #piece: DataView<ArrayBuffer> | undefined;
  /** Bitmaps that nobody can read are not kept. */
  readonly dropsBitmaps: boolean;
  readonly #progress: Progress | undefined;
  readonly #slice = new TimeSlice();

  constructor(file: BlockChild, tables: CheckedTables, fix: CheckFix, options: CheckOptions = {}) {
    this.file = file;
    this.tables = tables;
    this.findings = new CheckFindings(fix);
    this.fileLength = file.length;
    this.fileClusters = Math.ceil(file.length / tables.clusterSize);
    this.references = new ClusterReferences(this.fileClusters);
    this.tableUses = new ClusterReferences(this.fileClusters);
    this.activeUses = new ClusterReferences(this.fileClusters);
    this.otherTables = new ClusterReferences(this.fileClusters);
    this.flags = new SeenFlags(this.fileClusters);
    this.dropsBitmaps = fix === 'all' && options.keepsBitmaps !== true;
    this.#progress = options.progress;
  }

  get clusterSize(): number {
    return this.tables.clusterSize;
  }

  clusterOf(offset: number): number {
    return Math.floor(offset / this.tables.clusterSize);
  }

  /** Whether an offset is cluster-aligned and its cluster begins inside the file. */
  isPlace(offset: number): boolean {
    return offset % this.tables.clusterSize === 0 && offset < this.fileLength;
  }

  /** Whether a region ends a cluster or more behind the end of the file: then it is not counted. */
  isOutside(offset: number, length: number): boolean {
    return offset + length - this.fileLength >= this.tables.clusterSize;
  }

  /** The check itself has written behind the end of the file. */
  fileGrew(): void {
    this.fileLength = this.file.length;
    this.fileClusters = Math.ceil(this.fileLength / this.tables.clusterSize);
    this.references.grow(this.fileClusters);
  }

  /**
   * Counts a reference to every cluster that a region touches.
   *
   * @param findings of others than the image's own: it is a part of the refcount structures, which may be made anew elsewhere
   * @returns false when the region is not in the file, which is a finding
   */
  refer(offset: number, length: number, times = 1, findings = this.findings): boolean {
    if (length <= 0) return true;
    if (this.isOutside(offset, length)) {
      findings.corruption(
        () =>
          'ERROR: counting reference for region exceeding the end of the file by one cluster or more: ' +
          `offset 0x${offset.toString(16)} size 0x${length.toString(16)}`,
        offset,
        times,
      );
      if (offset < this.fileLength && findings === this.findings) this.lastPartlyInside = this.fileClusters - 1;
      this.firstOutside = Math.min(this.firstOutside, Math.max(this.clusterOf(offset), this.fileClusters));
      return false;
    }
    const last = this.clusterOf(offset + length - 1);
    for (let cluster = this.clusterOf(offset); cluster <= last; cluster++) this.references.add(cluster, times);
    return true;
  }

  /**
   * Counts a table of offsets that is neither the active L1 table nor an L2 table.
   *
   * @returns as `refer`
   */
  referTable(offset: number, entries: number, times: 1 | -1 = 1): boolean {
    const length = entries * ENTRY_LENGTH;
    if (!this.refer(offset, length, times)) return false;
    const end = Math.ceil((offset + length) / this.clusterSize);
    for (let cluster = this.clusterOf(offset); cluster < end; cluster++) this.otherTables.add(cluster, times);
    return true;
  }

  /** Nothing may be written where a region is, though nobody counts it. */
  keepClear(offset: number, length: number): void {
    if (length <= 0 || offset >= this.fileLength) return;
    const last = this.clusterOf(Math.min(offset + length, this.fileLength) - 1);
    this.lastPartlyInside = Math.max(this.lastPartlyInside, last);
  }

  /** The check has made a region, which is in the file, part of the image. */
  take(offset: number, length: number): void {
    const last = this.clusterOf(offset + length - 1);
    for (let cluster = this.clusterOf(offset); cluster <= last; cluster++) this.references.add(cluster, 1);
    this.giveUp(offset, length);
  }

  /** What a region holds has another place now, and it was not counted: that its refcounts do not follow yet is no finding. */
  giveUp(offset: number, length: number): void {
    if (length <= 0 || offset >= this.fileLength) return;
    const last = this.clusterOf(Math.min(offset + length, this.fileLength) - 1);
    for (let cluster = this.clusterOf(offset); cluster <= last; cluster++) this.moved.add(cluster);
  }

  /** Between two steps: lets others run, and tells how far the check is. @throws BlockError `aborted` */
  *pause(cluster: number): Co<void> {
    yield* this.#slice.pause();
    this.#progress?.report(Math.min(cluster * this.tables.clusterSize, this.fileLength), this.fileLength);
  }

  /**
   * Reads a table of 64-bit entries piece by piece. What is not in the file reads as zero, and is not looked at.
   *
   * @param visit gets a view of a piece, the index of its first entry and the number of entries in it. It may be a coroutine
   *   that returns whether it changed the piece, which is then written back
   */
  *eachPiece(
    offset: number,
    entries: number,
    visit: (piece: DataView, first: number, count: number) => Co<boolean> | void,
  ): Co<void> {
    const inFile = Math.min(entries, Math.max(0, Math.ceil((this.fileLength - offset) / ENTRY_LENGTH)));
    const view = this.#piece ?? new DataView(new ArrayBuffer(CHUNK_BYTES));
    this.#piece = undefined;
    for (let first = 0; first < inFile;) {
      const count = Math.min(CHUNK_BYTES / ENTRY_LENGTH, inFile - first);
      const bytes = new Uint8Array(view.buffer, 0, count * ENTRY_LENGTH);
      yield* settle(this.file.read(offset + first * ENTRY_LENGTH, bytes));
      // Half an entry of 16 bytes may be the last that the file has.
      if (bytes.length < CHUNK_BYTES) view.setFloat64(bytes.length, 0);
      const visited = visit(view, first, count);
      const changed = visited !== undefined && (yield* visited);
      if (changed) yield* settle(this.file.write(offset + first * ENTRY_LENGTH, bytes));
      first += count;
      yield* this.#slice.pause();
    }
    this.#piece = view;
  }
}

/** Bits 9 to 55 of a table entry: an offset in the file. */
export function entryOffset(high: number, low: number): number {
  return (high & ENTRY_OFFSET_HIGH) * 2 ** 32 + ((low & ENTRY_OFFSET_LOW) >>> 0);
}

/** An entry as qemu-img prints it. */
export function entryText(high: number, low: number): string {
  return ((BigInt(high) << 32n) | BigInt(low)).toString(16);
}

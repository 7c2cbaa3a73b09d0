/**
 * The dirty bitmaps that a qcow2 image keeps.
 *
 * While an image is open for writing its bitmaps are in memory, and on the disk they are marked as in use: a power cut then leaves
 * bitmaps that say of themselves that they may have missed writes. Closing the image stores them: bits and tables go to new
 * clusters, then a new directory, then the header leads to that one, and the old clusters are given back last. Only what did not
 * change keeps its place; if that is so for all of them, the marks are taken off in place, each of which a single sector holds.
 *
 * Source: qcow2 specification, "Bitmaps"; what is refused is what QEMU refuses.
 */
import { BitmapSet } from '../../bitmap/bitmap-set.ts';
import { checkGranularity, DirtyBitmap } from '../../bitmap/dirty-bitmap.ts';
import { chain, settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { PersistentBitmaps } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import {
  directoryLength,
  directoryPlace,
  encodeDirectory,
  encodeExtension,
  entryLength,
  imageFacts,
  isUsable,
  readDirectory,
  type BitmapEntry,
  type DirectoryPlace,
} from './bitmap-directory.ts';
import { freeBits, giveBack, loadBits, storeBits } from './bitmap-tables.ts';
import { extensionOffset, withExtension } from './extensions.ts';
import { rewriteHeader } from './header-change.ts';
import { diskSizeOf } from './header.ts';
import {
  AUTOCLEAR_BITMAPS,
  BITMAP_AUTO,
  BITMAP_EXTRA_DATA_COMPATIBLE,
  BITMAP_IN_USE,
  BITMAPS_EXTENSION_LENGTH,
  EXTENSION,
  MAX_BITMAP_BYTES,
  MAX_BITMAP_DIRECTORY_BYTES,
  MAX_BITMAP_NAME_BYTES,
  MAX_BITMAPS,
} from './layout.ts';
import type { Metadata } from './metadata.ts';

export class Qcow2Bitmaps implements PersistentBitmaps {
  readonly set = new BitmapSet();
  readonly #metadata: Metadata;
  #place: DirectoryPlace | undefined;
  /** As they are on the disk. */
  #entries: readonly BitmapEntry[];
  readonly #error: BlockError | undefined;
  #loaded = false;

  private constructor(
    metadata: Metadata,
    place: DirectoryPlace | undefined,
    entries: readonly BitmapEntry[],
    error?: BlockError,
  ) {
    this.#metadata = metadata;
    this.#place = place;
    this.#entries = entries;
    this.#error = error;
    this.#notePlace();
  }

  /**
   * Reads the directory; if the image is to be written to, loads the bitmaps and marks them as in use.
   *
   * @param inactive the image is opened to be checked: its bitmaps are listed only
   * @throws BlockError `corrupt` when the bitmaps of an image that is to be written to are broken. One that is only read is read
   *   without them: the error comes when they are asked for
   */
  static *open(metadata: Metadata, inactive: boolean): Co<Qcow2Bitmaps> {
    const { header, file, settings } = metadata;
    const idle = inactive || settings.readOnly;
    try {
      const place = directoryPlace(header);
      const entries = place === undefined ? [] : yield* readDirectory(file, imageFacts(header), place);
      const bitmaps = new Qcow2Bitmaps(metadata, place, entries);
      if (!idle) yield* bitmaps.#activate();
      return bitmaps;
    } catch (error) {
      if (!idle || !(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
      return new Qcow2Bitmaps(metadata, undefined, [], error);
    }
  }

  *#activate(): Co<void> {
    yield* this.#loadAll();
    yield* this.#writeFlags(this.#entries.map((entry) => ({ ...entry, flags: entry.flags | BITMAP_IN_USE })));
  }

  #use(place: DirectoryPlace | undefined, entries: readonly BitmapEntry[]): void {
    this.#place = place;
    this.#entries = entries;
    this.#notePlace();
  }

  #notePlace(): void {
    this.#metadata.places.setRegion('bitmap-directory', this.#place?.offset ?? 0, this.#place?.length ?? 0);
  }

  /** As `qemu-img info` shows them: what the directory on the disk says. */
  info(): { name: string; granularity: number; flags: string[] }[] {
    return this.#entries.map(({ name, granularityBits, flags }) => ({
      flags: [...((flags & BITMAP_IN_USE) === 0 ? [] : ['in-use']), ...((flags & BITMAP_AUTO) === 0 ? [] : ['auto'])],
      name,
      granularity: 2 ** granularityBits,
    }));
  }

  /** @see PersistentBitmaps.load */
  load(): MaybePromise<BitmapSet> {
    if (this.#error !== undefined) throw this.#error;
    return chain(start(this.#loadAll()), () => this.set);
  }

  *#loadAll(): Co<void> {
    if (this.#loaded) return;
    const { file, geometry, header, settings } = this.#metadata;
    const budget = { bytes: Math.min(file.length, MAX_BITMAP_BYTES) };
    const loaded: DirtyBitmap[] = [];
    for (const entry of this.#entries) {
      const bitmap = new DirtyBitmap({
        name: entry.name,
        granularity: 2 ** entry.granularityBits,
        size: diskSizeOf(header),
        enabled: (entry.flags & BITMAP_AUTO) !== 0,
        persistent: true,
        inconsistent: !isUsable(entry),
        readOnly: settings.readOnly,
      });
      if (!bitmap.inconsistent) yield* loadBits(file, geometry.clusterSize, entry, bitmap, budget);
      loaded.push(bitmap);
    }
    for (const bitmap of loaded) this.set.adopt(bitmap);
    this.#loaded = true;
  }

  // ── What may be kept ──────────────────────────────────────────────────────────────────────────────────────────────

  /** @see PersistentBitmaps.checkNew */
  checkNew(name: string, granularity: number): void {
    if (this.#error !== undefined) throw this.#error;
    const { header, geometry } = this.#metadata;
    const nameBytes = new TextEncoder().encode(name);
    this.#metadata.assertWritable();
    if (geometry.version === 2) throw new BlockError('unsupported', 'Cannot store dirty bitmaps in qcow2 v2 files');
    if (diskSizeOf(header) === 0) throw new BlockError('unsupported', 'An empty disk can have no persistent bitmaps');
    if (nameBytes.length > MAX_BITMAP_NAME_BYTES) {
      throw new BlockError('invalid', `Name length exceeds maximum (${MAX_BITMAP_NAME_BYTES} characters)`);
    }
    checkGranularity(granularity, diskSizeOf(header));
    const kept = [...this.set].filter(({ persistent }) => persistent);
    if (kept.length >= MAX_BITMAPS) {
      throw new BlockError('unsupported', 'Maximum number of persistent bitmaps is already reached');
    }
    let length = entryLength({ nameBytes, extraData: new Uint8Array(0) });
    for (const bitmap of kept) length += entryLength(this.#entryFor(bitmap));
    if (length > MAX_BITMAP_DIRECTORY_BYTES) {
      throw new BlockError('unsupported', 'Not enough space in the bitmap directory');
    }
  }

  /** @throws BlockError when a bitmap stands in the way of another size, in QEMU's words */
  checkResize(size: number): void {
    for (const bitmap of this.set) {
      if (!bitmap.persistent) continue;
      bitmap.assertFree();
      checkGranularity(bitmap.granularity, size);
      if (size === 0)
        throw new BlockError('unsupported', 'An empty disk can have no persistent bitmaps: remove them first');
    }
  }

  /** Whether the image has bitmaps, in memory or in its directory. */
  get any(): boolean {
    return this.#entries.length > 0 || [...this.set].some(({ persistent }) => persistent);
  }

  // ── Changing the file ─────────────────────────────────────────────────────────────────────────────────────────────

  /** @see PersistentBitmaps.remove */
  remove(name: string): MaybePromise<void> {
    return start(this.#metadata.lock.run(() => this.#remove(name)));
  }

  *#remove(name: string): Co<void> {
    const entry = this.#entries.find((candidate) => candidate.name === name);
    if (entry !== undefined) {
      yield* this.#switchTo(
        this.#entries.filter((other) => other !== entry),
        [entry],
      );
    }
    this.set.delete(name);
  }

  /** Removes all of them, for an image that is to be of version 2. Under the metadata lock. */
  *removeAll(): Co<void> {
    if (this.#entries.length > 0) yield* this.#switchTo([], this.#entries);
    for (const bitmap of [...this.set]) if (bitmap.persistent) this.set.delete(bitmap.name);
  }

  /**
   * Stores the bitmaps, and takes the marks off them. Under the metadata lock, everything else being written; nothing may be
   * written to the disk afterwards.
   *
   * @throws BlockError what the storage reports: then all bitmaps are lost, which the marks on the disk say
   */
  *store(): Co<void> {
    if (!this.#loaded || !this.any) return;
    const old = new Map(this.#entries.map((entry) => [entry.name, entry]));
    const entries: BitmapEntry[] = [];
    const replaced: BitmapEntry[] = [];
    for (const bitmap of this.set) {
      if (!bitmap.persistent) continue;
      const before = old.get(bitmap.name);
      const keeps = before !== undefined && (bitmap.inconsistent || !bitmap.changed);
      if (before !== undefined && !keeps) replaced.push(before);
      entries.push(keeps ? this.#entryFor(bitmap) : { ...this.#entryFor(bitmap), ...(yield* this.#storeBits(bitmap)) });
    }
    const isSame = entries.length === this.#entries.length && replaced.length === 0;
    if (isSame) yield* this.#writeFlags(entries);
    else yield* this.#switchTo(entries, replaced);
    for (const bitmap of this.set) bitmap.markStored();
  }

  *#storeBits(bitmap: DirtyBitmap): Co<{ tableOffset: number; tableSize: number }> {
    bitmap.resize(diskSizeOf(this.#metadata.header));
    return yield* storeBits(this.#metadata, bitmap);
  }

  /** What the directory says of a bitmap once it is stored. */
  #entryFor(bitmap: DirtyBitmap): BitmapEntry {
    const before = this.#entries.find(({ name }) => name === bitmap.name);
    if (before !== undefined && bitmap.inconsistent) return before;
    const kept = (before?.flags ?? 0) & BITMAP_EXTRA_DATA_COMPATIBLE;
    const flags = kept | (bitmap.enabled ? BITMAP_AUTO : 0);
    if (before !== undefined) return { ...before, flags };
    return {
      name: bitmap.name,
      nameBytes: new TextEncoder().encode(bitmap.name),
      tableOffset: 0,
      tableSize: 0,
      flags,
      granularityBits: Math.log2(bitmap.granularity),
      extraData: new Uint8Array(0),
    };
  }

  /** Writes a directory that differs in flags alone over the old one. Whichever sectors a power cut leaves, each entry is right. */
  *#writeFlags(entries: readonly BitmapEntry[]): Co<void> {
    const place = this.#place;
    if (place === undefined || entries.every(({ flags }, index) => flags === this.#entries[index]?.flags)) return;
    const { file, places } = this.#metadata;
    places.setRegion('bitmap-directory', 0, 0);
    const below = places.overlap(place.offset, Math.max(place.length, 1));
    this.#notePlace();
    if (below !== undefined) yield* this.#metadata.markCorrupt(`The bitmap directory lies on ${below}`);
    yield* settle(file.write(place.offset, encodeDirectory(entries)));
    yield* settle(file.flush());
    this.#entries = entries;
  }

  /** Writes a directory to a new place, makes the header lead to it, and gives back what nothing leads to then. */
  *#switchTo(entries: readonly BitmapEntry[], replaced: readonly BitmapEntry[]): Co<void> {
    const metadata = this.#metadata;
    const { clusterSize } = metadata.geometry;
    const before = this.#place;
    const place = entries.length === 0 ? undefined : yield* this.#writeDirectory(entries);
    yield* this.#disownTornExtension();
    try {
      yield* rewriteHeader(metadata, (header) => ({
        ...header,
        autoclearFeatures:
          place === undefined
            ? header.autoclearFeatures & ~AUTOCLEAR_BITMAPS
            : header.autoclearFeatures | AUTOCLEAR_BITMAPS,
        extensions: withExtension(
          header.extensions,
          EXTENSION.bitmaps,
          place === undefined ? undefined : encodeExtension(place),
          'last',
        ),
      }));
    } finally {
      // It may have failed when the change was made already.
      if (directoryPlace(metadata.header)?.offset === place?.offset) this.#use(place, entries);
    }
    for (const entry of replaced) yield* freeBits(metadata, entry);
    if (before !== undefined) giveBack(metadata, before.offset, Math.ceil(before.length / clusterSize));
    yield* metadata.settleAll();
  }

  /**
   * Where the extension's data goes across the end of a sector it cannot be changed at once. Then the header says, for the moment,
   * that it is not to be trusted.
   */
  *#disownTornExtension(): Co<void> {
    const { header } = this.#metadata;
    const offset = extensionOffset(header.extensions, EXTENSION.bitmaps);
    if (offset === undefined || (header.autoclearFeatures & AUTOCLEAR_BITMAPS) === 0n) return;
    if (((header.headerLength + offset) % SECTOR_SIZE) + BITMAPS_EXTENSION_LENGTH <= SECTOR_SIZE) return;
    this.#metadata.updateHeader({ autoclearFeatures: header.autoclearFeatures & ~AUTOCLEAR_BITMAPS });
    yield* this.#metadata.writeBack();
  }

  *#writeDirectory(entries: readonly BitmapEntry[]): Co<DirectoryPlace> {
    const { file, geometry, allocator, frees } = this.#metadata;
    const { clusterSize } = geometry;
    const clusters = Math.ceil(directoryLength(entries) / clusterSize);
    const run = yield* allocator.take(clusters, { exact: true });
    try {
      const bytes = new Uint8Array(clusters * clusterSize);
      bytes.set(encodeDirectory(entries));
      yield* settle(file.write(run.first * clusterSize, bytes));
    } catch (error) {
      frees.add(run.first, clusters, false);
      throw error;
    }
    return { count: entries.length, offset: run.first * clusterSize, length: directoryLength(entries) };
  }
}

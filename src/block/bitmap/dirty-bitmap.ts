/**
 * A dirty bitmap: which parts of a disk were written to since a certain time. QEMU: BdrvDirtyBitmap.
 *
 * Source: QEMU, docs/interop/bitmaps.rst.
 */
import { BlockError } from '../error.ts';
import { GranuleSet } from './granule-set.ts';

export const MIN_GRANULARITY = 512;
export const MAX_GRANULARITY = 2 ** 31;
/** A bitmap of more bits than this (512 MiB of them) is not made. QEMU: BME_MAX_PHYS_SIZE. */
export const MAX_GRANULES = 2 ** 32;

export interface DirtyBitmapSettings {
  readonly name: string;
  /** Bytes of disk that a bit stands for; a power of two. */
  readonly granularity: number;
  /** Bytes of the disk. */
  readonly size: number;
  /** Records what is written. Default: yes. */
  readonly enabled?: boolean;
  /** Kept in the image. Default: no. */
  readonly persistent?: boolean;
  /** It missed writes: it can be looked at and removed, nothing else. Default: no. */
  readonly inconsistent?: boolean;
  /** The image could not be told that it is in use: nothing may be written that it would have to record. Default: no. */
  readonly readOnly?: boolean;
}

/** What must not be so for an operation. QEMU: BDRV_BITMAP_BUSY, RO, INCONSISTENT. */
export type BitmapObstacle = 'busy' | 'readOnly' | 'inconsistent';
const ALL_OBSTACLES: readonly BitmapObstacle[] = ['busy', 'readOnly', 'inconsistent'];

/** Dirty bytes in a row. */
export interface DirtyArea {
  readonly offset: number;
  readonly length: number;
}

export class DirtyBitmap {
  readonly name: string;
  /** Bytes. */
  readonly granularity: number;
  persistent: boolean;
  readonly inconsistent: boolean;
  readOnly: boolean;
  /** A job works with it. */
  busy = false;
  #enabled: boolean;
  #size: number;
  readonly #granules: GranuleSet;
  #changed = false;

  /** @throws BlockError `invalid` for a granularity that cannot be, or too fine a one for a disk of that size */
  constructor(settings: DirtyBitmapSettings) {
    checkGranularity(settings.granularity, settings.size);
    this.name = settings.name;
    this.granularity = settings.granularity;
    this.persistent = settings.persistent ?? false;
    this.inconsistent = settings.inconsistent ?? false;
    this.readOnly = settings.readOnly ?? false;
    this.#enabled = (settings.enabled ?? true) && !this.inconsistent;
    this.#size = settings.size;
    this.#granules = new GranuleSet(Math.ceil(settings.size / settings.granularity));
  }

  /** Records what is written. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /** Bytes of the disk. */
  get size(): number {
    return this.#size;
  }

  /** Dirty bytes; the last granule counts as a whole one, as in QEMU. */
  get dirtyBytes(): number {
    return this.#granules.count * this.granularity;
  }

  /** It is not what it was when it was loaded or stored last. */
  get changed(): boolean {
    return this.#changed;
  }

  /** Bytes of memory that its bits take. */
  get memoryBytes(): number {
    return this.#granules.memoryBytes;
  }

  /**
   * @param obstacles what stands in the way of what is to be done. Default: all
   * @throws BlockError `busy`, `permission` or `corrupt`, in QEMU's words
   */
  assertFree(obstacles: readonly BitmapObstacle[] = ALL_OBSTACLES): void {
    if (this.busy && obstacles.includes('busy')) {
      throw new BlockError('busy', `Bitmap '${this.name}' is currently in use by another operation and cannot be used`);
    }
    if (this.readOnly && obstacles.includes('readOnly')) {
      throw new BlockError('permission', `Bitmap '${this.name}' is readonly and cannot be modified`);
    }
    if (this.inconsistent && obstacles.includes('inconsistent')) {
      throw new BlockError(
        'corrupt',
        `Bitmap '${this.name}' is inconsistent and cannot be used: it missed writes to the disk. Remove it`,
      );
    }
  }

  enable(): void {
    this.#enabled = true;
  }

  disable(): void {
    this.#enabled = false;
  }

  /** Makes every granule dirty that the range touches. Whoever writes to the disk calls it only while the bitmap is enabled. */
  setDirty(offset: number, length: number): void {
    this.#fill(Math.floor(offset / this.granularity), Math.ceil((offset + length) / this.granularity), true);
  }

  /** Makes granules clean: those that the range touches. */
  resetDirty(offset: number, length: number): void {
    this.#fill(Math.floor(offset / this.granularity), Math.ceil((offset + length) / this.granularity), false);
  }

  /** Makes all of it clean. */
  clear(): void {
    this.#fill(0, this.#granules.length, false);
  }

  #fill(from: number, to: number, value: boolean): void {
    if (this.#granules.next(from, !value) >= Math.min(to, this.#granules.length)) return;
    this.#granules.fill(from, to, value);
    this.#changed = true;
  }

  isDirty(offset: number): boolean {
    return this.#granules.has(Math.floor(offset / this.granularity));
  }

  /**
   * The first dirty bytes in a row of a range.
   *
   * @returns undefined when all of it is clean
   */
  nextDirtyArea(offset: number, end: number = this.#size): DirtyArea | undefined {
    const stop = Math.min(end, this.#size);
    const first = this.#granules.next(Math.floor(offset / this.granularity), true);
    const from = Math.max(offset, first * this.granularity);
    if (from >= stop) return undefined;
    const to = Math.min(this.#granules.next(first, false) * this.granularity, stop);
    return { offset: from, length: to - from };
  }

  /** All dirty bytes, in order. */
  *dirtyAreas(): Generator<DirtyArea> {
    for (let at = 0; ;) {
      const area = this.nextDirtyArea(at);
      if (area === undefined) return;
      yield area;
      at = area.offset + area.length;
    }
  }

  /**
   * Makes dirty what is dirty in another bitmap of a disk of the same size, whatever the granularities.
   *
   * @throws BlockError `invalid` for another size
   */
  merge(source: DirtyBitmap): void {
    if (source.size !== this.#size) {
      throw new BlockError(
        'invalid',
        `Bitmaps are of different sizes (destination size is ${this.#size}, source size is ${source.size}) and can't be merged`,
      );
    }
    for (const { offset, length } of source.dirtyAreas()) this.setDirty(offset, length);
  }

  /** The disk has another size now. What it grew by is clean. */
  resize(size: number): void {
    if (size === this.#size) return;
    this.#granules.resize(Math.ceil(size / this.granularity));
    this.#size = size;
    this.#changed = true;
  }

  // ── Serialisation ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Bytes of all its bits. */
  get serializedLength(): number {
    return Math.ceil(this.#granules.length / 8);
  }

  /** What `length` bytes of the serialised bits from `offset` on are; bits behind the last one do not count. */
  serializedKind(offset: number, length: number): 'zeroes' | 'ones' | 'mixed' {
    const end = Math.min((offset + length) * 8, this.#granules.length);
    if (this.#granules.next(offset * 8, true) >= end) return 'zeroes';
    return this.#granules.next(offset * 8, false) >= end ? 'ones' : 'mixed';
  }

  /** Bits in a row, lowest first in each byte; zeroes behind the last. QEMU: hbitmap_serialize_part. */
  serialize(offset: number, into: Uint8Array): void {
    this.#granules.readBytes(offset, into);
  }

  /** Takes what `serialize` gave. */
  deserialize(offset: number, from: Uint8Array): void {
    this.#granules.writeBytes(offset, from);
  }

  /** Makes `length` bytes of serialised bits ones. */
  deserializeOnes(offset: number, length: number): void {
    this.#granules.fill(offset * 8, (offset + length) * 8, true);
  }

  /** It was loaded or stored just now. */
  markStored(): void {
    this.#changed = false;
  }
}

/** @throws BlockError `invalid` in QEMU's words */
export function checkGranularity(granularity: number, size: number): void {
  if (granularity < MIN_GRANULARITY || granularity > MAX_GRANULARITY || Math.log2(granularity) % 1 !== 0) {
    throw new BlockError(
      'invalid',
      `Granularity must be power of 2 and at least ${MIN_GRANULARITY}, and at most ${MAX_GRANULARITY}; it is ${granularity}`,
    );
  }
  if (size > MAX_GRANULES * granularity) {
    throw new BlockError(
      'invalid',
      `Too much space will be occupied by the bitmap. Use larger granularity than ${granularity} for a disk of ${size} bytes`,
    );
  }
}

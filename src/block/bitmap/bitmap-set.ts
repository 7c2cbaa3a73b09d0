/** The dirty bitmaps of a node. */
import { BlockError } from '../error.ts';
import { checkGranularity, type DirtyBitmap, type DirtyBitmapSettings } from './dirty-bitmap.ts';

/** Bytes of a bitmap's name in UTF-8. QEMU: BDRV_BITMAP_MAX_NAME_SIZE. */
export const MAX_BITMAP_NAME_BYTES = 1023;

export class BitmapSet {
  readonly #bitmaps = new Map<string, DirtyBitmap>();

  get size(): number {
    return this.#bitmaps.size;
  }

  [Symbol.iterator](): IterableIterator<DirtyBitmap> {
    return this.#bitmaps.values();
  }

  find(name: string): DirtyBitmap | undefined {
    return this.#bitmaps.get(name);
  }

  /** @throws BlockError `not-found` in QEMU's words */
  require(name: string): DirtyBitmap {
    const bitmap = this.#bitmaps.get(name);
    if (bitmap === undefined) throw new BlockError('not-found', `Dirty bitmap '${name}' not found`);
    return bitmap;
  }

  /** @throws BlockError `exists`, `invalid` for a name or granularity that cannot be, in QEMU's words */
  checkNew({ name, granularity, size, persistent }: DirtyBitmapSettings): void {
    checkGranularity(granularity, size);
    if (name === '') throw new BlockError('invalid', 'Bitmap name cannot be empty');
    if (this.#bitmaps.has(name)) throw new BlockError('exists', `Bitmap already exists: ${name}`);
    // What can be kept in an image is for its format to say.
    if (persistent !== true && new TextEncoder().encode(name).length > MAX_BITMAP_NAME_BYTES) {
      throw new BlockError('invalid', `Bitmap name too long: ${name}`);
    }
  }

  /** Takes a bitmap in whose name is not taken. */
  adopt(bitmap: DirtyBitmap): DirtyBitmap {
    this.#bitmaps.set(bitmap.name, bitmap);
    return bitmap;
  }

  delete(name: string): void {
    this.#bitmaps.delete(name);
  }

  /** @throws BlockError `invalid` when a bitmap is too fine for a disk of that size */
  checkResize(size: number): void {
    for (const { granularity, inconsistent } of this) if (!inconsistent) checkGranularity(granularity, size);
  }

  /** The disk has another size now. */
  resize(size: number): void {
    for (const bitmap of this) if (!bitmap.inconsistent) bitmap.resize(size);
  }

  /** Something was written to the disk, or given back. @param size bytes that the disk has now */
  record(offset: number, length: number, size: number): void {
    for (const bitmap of this.#bitmaps.values()) {
      if (bitmap.inconsistent || bitmap.readOnly) continue;
      bitmap.resize(size);
      if (bitmap.enabled) bitmap.setDirty(offset, length);
    }
  }
}

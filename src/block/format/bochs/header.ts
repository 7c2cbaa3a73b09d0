import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import {
  ENTRY_LENGTH,
  FIELD,
  FIELDS_LENGTH,
  MAGIC,
  MAX_CATALOG_ENTRIES,
  MAX_EXTENT,
  MIN_EXTENT,
  SUBTYPE,
  TYPE,
  VERSION_1,
  VERSION_2,
} from './layout.ts';

export interface BochsHeader {
  /** Bytes of the disk. */
  readonly diskSize: number;
  readonly catalogOffset: number;
  readonly catalogEntries: number;
  /** Where the first extent's bitmap is. */
  readonly dataOffset: number;
  /** Bytes of a bitmap in the file, whole sectors. */
  readonly bitmapBytes: number;
  /** Bytes of an extent, a power of two. */
  readonly extentSize: number;
}

/** Whether bytes begin as a growing image does, of a version that is known. */
export function isHeader(head: Uint8Array): boolean {
  if (head.length < FIELDS_LENGTH) return false;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const version = view.getUint32(FIELD.version, true);
  return (
    textAt(head, FIELD.magic, FIELD.magicLength) === MAGIC &&
    textAt(head, FIELD.type, FIELD.typeLength) === TYPE &&
    textAt(head, FIELD.subtype, FIELD.typeLength) === SUBTYPE &&
    (version === VERSION_1 || version === VERSION_2)
  );
}

function textAt(bytes: Uint8Array, at: number, length: number): string {
  const field = bytes.subarray(at, at + length);
  const end = field.indexOf(0);
  return new TextDecoder('latin1').decode(end < 0 ? field : field.subarray(0, end));
}

/**
 * Reads and checks the header.
 *
 * @throws BlockError `corrupt` for a field that cannot be, `unsupported` for catalogs and extents that are too large
 */
export function* readHeader(file: BlockChild): Co<BochsHeader> {
  const bytes = new Uint8Array(FIELDS_LENGTH);
  yield* settle(file.read(0, bytes));
  if (!isHeader(bytes)) throw new BlockError('corrupt', 'Image not in Bochs format');
  const view = new DataView(bytes.buffer);
  const u32 = (at: number): number => view.getUint32(at, true);
  const disk = view.getBigUint64(u32(FIELD.version) === VERSION_1 ? FIELD.disk1 : FIELD.disk2, true);
  const catalogEntries = u32(FIELD.catalog);
  const extentSize = u32(FIELD.extent);
  if (catalogEntries > MAX_CATALOG_ENTRIES) throw tooLarge(`Catalog size ${catalogEntries} is too large`);
  checkExtent(extentSize, u32(FIELD.bitmap));
  if (disk / BigInt(SECTOR_SIZE) > (BigInt(catalogEntries) * BigInt(extentSize)) / BigInt(SECTOR_SIZE)) {
    throw broken(`Catalog size ${catalogEntries} is too small for this disk size, ${disk}`);
  }
  const catalogOffset = u32(FIELD.header);
  const dataOffset = catalogOffset + catalogEntries * ENTRY_LENGTH;
  if (catalogOffset < FIELDS_LENGTH || dataOffset > file.length) {
    throw broken(
      `with a header of ${catalogOffset} bytes its catalog is not in the file of ${file.length} bytes: it was cut off, or damaged`,
    );
  }
  return {
    diskSize: Number(disk - (disk % BigInt(SECTOR_SIZE))),
    catalogOffset,
    catalogEntries,
    dataOffset,
    bitmapBytes: Math.ceil(u32(FIELD.bitmap) / SECTOR_SIZE) * SECTOR_SIZE,
    extentSize,
  };
}

function checkExtent(extentSize: number, bitmap: number): void {
  if (extentSize < MIN_EXTENT) throw broken(`Extent size ${extentSize} must be at least 512`);
  if (Math.log2(extentSize) % 1 !== 0) throw broken(`Extent size ${extentSize} is not a power of two`);
  if (extentSize > MAX_EXTENT) throw tooLarge(`Extent size ${extentSize} is too large`);
  if (bitmap * 8 * SECTOR_SIZE < extentSize) {
    throw broken(`bitmap size ${bitmap} is too small for extents of ${extentSize} bytes`);
  }
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `The Bochs header contradicts itself: ${what}`);
}

function tooLarge(what: string): BlockError {
  return new BlockError('unsupported', what);
}

/**
 * Structures and limits of growing disk images of Bochs, versions 1 and 2. All numbers are little-endian.
 *
 * Source: Bochs, "The hard disk image formats" (Developers Guide, redolog); the limits are QEMU's.
 */

export const MAGIC = 'Bochs Virtual HD Image';
export const TYPE = 'Redolog';
export const SUBTYPE = 'Growing';
export const VERSION_1 = 0x00010000;
export const VERSION_2 = 0x00020000;

export const FIELD = {
  magic: 0,
  magicLength: 32,
  type: 32,
  subtype: 48,
  typeLength: 16,
  version: 64,
  /** Bytes of the header: the catalog follows. */
  header: 68,
  /** Entries of the catalog. */
  catalog: 72,
  /** Bytes of an extent's bitmap. */
  bitmap: 76,
  /** Bytes of an extent. */
  extent: 80,
  /** Bytes of the disk. In version 1. */
  disk1: 84,
  /** In version 2: a time comes before it. */
  disk2: 88,
} as const;

export const FIELDS_LENGTH = 96;
export const ENTRY_LENGTH = 4;
/** Entry of the catalog: nothing is stored for the extent. */
export const UNALLOCATED = 0xffffffff;

export const MAX_CATALOG_ENTRIES = 0x100000;
export const MIN_EXTENT = 512;
export const MAX_EXTENT = 0x800000;

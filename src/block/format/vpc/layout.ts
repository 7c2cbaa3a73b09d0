/**
 * Structures and limits of VHD, the disk image of Virtual PC and Hyper-V; QEMU calls the format `vpc`. All numbers are big-endian.
 *
 * Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0.
 */

export const FOOTER_LENGTH = 512;
export const FOOTER_COOKIE = 'conectix';

export const FOOTER = {
  cookie: 0,
  features: 8,
  version: 12,
  /** Where the dynamic header is; all ones in a fixed disk. */
  dataOffset: 16,
  /** Seconds since 2000. */
  timestamp: 24,
  creatorApplication: 28,
  creatorVersion: 32,
  creatorOs: 36,
  originalSize: 40,
  currentSize: 48,
  cylinders: 56,
  heads: 58,
  sectorsPerTrack: 59,
  diskType: 60,
  checksum: 64,
  uuid: 68,
} as const;

export const FEATURES_RESERVED = 2;
export const VERSION = 0x00010000;
export const TYPE_FIXED = 2;
export const TYPE_DYNAMIC = 3;
export const TYPE_DIFFERENCING = 4;
/** The start of the year 2000, in seconds since 1970. */
export const TIMESTAMP_BASE = 946_684_800;

export const DYNAMIC_LENGTH = 1024;
export const DYNAMIC_COOKIE = 'cxsparse';

export const DYNAMIC = {
  cookie: 0,
  dataOffset: 8,
  tableOffset: 16,
  version: 24,
  maxTableEntries: 28,
  blockSize: 32,
  checksum: 36,
  parentUuid: 40,
  parentName: 64,
  parentLocators: 576,
} as const;

export const PARENT_NAME_LENGTH = 512;
export const LOCATORS = 8;
export const LOCATOR_LENGTH = 24;
export const LOCATOR = { platform: 0, dataLength: 8, dataOffset: 16 } as const;
/** A path relative to the image, in UTF-16 with the least significant byte first. */
export const LOCATOR_RELATIVE = 'W2ru';
/** An absolute path, the same way. */
export const LOCATOR_ABSOLUTE = 'W2ku';
export const MAX_LOCATOR_BYTES = 4096;

/** Entry of the block allocation table: nothing is stored for the block. */
export const BLOCK_UNALLOCATED = 0xffffffff;
export const DEFAULT_BLOCK_SIZE = 2 * 2 ** 20;
/** QEMU's bound; others write 512 KiB and 2 MiB. */
export const MAX_BLOCK_SIZE = 256 * 2 ** 20;
/** Bytes of a table that is held in memory: what a disk of 2040 GiB has with blocks of 128 KiB. */
export const MAX_TABLE_BYTES = 64 * 2 ** 20;

/** 2040 GiB, in sectors: larger ones do not fit into the entries of the table. */
export const MAX_SECTORS = 0xff000000;
/** The largest disk that has a geometry. A disk that says it has just this may be larger. */
export const MAX_GEOMETRY_SECTORS = 65535 * 16 * 255;

/**
 * Structures and limits of Parallels expandable images. All numbers are little-endian.
 *
 * Source: QEMU, docs/interop/parallels.txt.
 */

export const MAGIC_LENGTH = 16;
/** Entries of the block allocation table count sectors. */
export const MAGIC_SECTORS = 'WithoutFreeSpace';
/** They count clusters. */
export const MAGIC_CLUSTERS = 'WithouFreSpacExt';
export const VERSION = 2;
export const HEADER_LENGTH = 64;

export const FIELD = {
  magic: 0,
  version: 16,
  heads: 20,
  cylinders: 24,
  /** Sectors of a cluster. */
  tracks: 28,
  batEntries: 32,
  nbSectors: 36,
  inUse: 44,
  /** Sectors. */
  dataOff: 48,
  flags: 52,
  /** Sectors; 0: there is no format extension. */
  extOff: 56,
} as const;

/** The image is open for writing, or was not closed. */
export const IN_USE = 0x746f6e59;
/** It was closed by a program that keeps the format extension up to date. */
export const CLOSED_WITH_EXTENSION = 0x312e3276;
/** Flag: nothing was ever written to the disk. */
export const FLAG_EMPTY = 1;

export const ENTRY_LENGTH = 4;
/** Bytes of an allocation table that is held in memory: 16 TiB in clusters of 1 MiB. */
export const MAX_BAT_BYTES = 64 * 2 ** 20;
/** Programs make clusters of 63 sectors to 1 MiB. A larger one must be written whole at its first byte. */
export const MAX_CLUSTER_BYTES = 32 * 2 ** 20;
export const DEFAULT_CLUSTER_BYTES = 2 ** 20;

/** What a new image says of its geometry. */
export const HEADS = 16;
export const SECTORS_PER_TRACK = 32;

export const EXTENSION = {
  /** 0xAB234CEF23DCEA87. */
  magic: 0xab234cef23dcea87n,
  checksum: 8,
  /** Where the checksum has its end, and what it is of begins. */
  features: 24,
} as const;

/** One feature of the extension: its header, then `dataSize` bytes, up to a multiple of 8. */
export const FEATURE = { magic: 0, flags: 8, dataSize: 16, headerLength: 24 } as const;
export const FEATURE_END = 0n;
export const FEATURE_DIRTY_BITMAP = 0x20385fae252cb34an;
/** Who does not know the feature must not change the image. */
export const FEATURE_NECESSARY = 1n;

/** The data of a dirty bitmap; the table of its clusters follows. */
export const BITMAP = { sectors: 0, id: 8, granularity: 24, l1Size: 28, l1Table: 32 } as const;
/** Entries of that table that are no offsets: all bits of the cluster are 0, or 1. */
export const BITMAP_ALL_ONES = 1n;

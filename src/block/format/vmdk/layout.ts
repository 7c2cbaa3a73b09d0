/**
 * Structures and limits of VMDK. All numbers are little-endian; places and lengths in a file are counted in sectors of 512 bytes.
 *
 * Source: VMware, "Virtual Disk Format 5.0" and "Virtual Disk Format 1.1" (COWD); what QEMU reads and writes.
 */

/** First bytes of a sparse extent of hosted products, and of one of old ESX servers. */
export const MAGIC_SPARSE = 'KDMV';
export const MAGIC_COWD = 'COWD';

/** Header of a sparse extent ("SparseExtentHeader"). */
export const SPARSE = {
  version: 4,
  flags: 8,
  capacity: 12,
  grainSize: 20,
  descriptorOffset: 28,
  descriptorSize: 36,
  entriesPerTable: 44,
  redundantDirectory: 48,
  directory: 56,
  overhead: 64,
  uncleanShutdown: 72,
  newlines: 73,
  compression: 77,
} as const;
export const SPARSE_HEADER_LENGTH = 512;
/** Bytes that a transfer as text would change. */
export const NEWLINES = [0x0a, 0x20, 0x0d, 0x0a] as const;
export const MAX_VERSION = 3;

export const FLAG_NEWLINES = 1;
export const FLAG_REDUNDANT_DIRECTORY = 2;
/** A grain table entry of 1 means a grain of zeroes. */
export const FLAG_ZEROED_GRAINS = 4;
export const FLAG_COMPRESSED = 2 ** 16;
export const FLAG_MARKERS = 2 ** 17;
export const COMPRESSION_DEFLATE = 1;

/** The grain directory is at the end of the file, and a copy of the header with its place right before the end. */
export const DIRECTORY_AT_END = 2n ** 64n - 1n;
/** Footer marker, footer, end-of-stream marker: sectors at the end of a file whose directory is there. */
export const FOOTER_SECTORS = 3;
/** Of a marker: a number (of a sector, or of sectors), the length of what follows, and for length 0 a type. */
export const MARKER = { value: 0, size: 8, type: 12 } as const;
export const MARKER_LENGTH = 16;
export const MARKER_END_OF_STREAM = 0;
export const MARKER_FOOTER = 3;
/** Where the data of a compressed grain begins, behind its place and length. */
export const GRAIN_DATA = 12;

/** Header of an extent of old ESX servers ("COWDisk_Header"). */
export const COWD = {
  version: 4,
  flags: 8,
  sectors: 12,
  grainSize: 16,
  directory: 20,
  directoryEntries: 24,
} as const;
export const COWD_VERSION = 1;
export const COWD_ENTRIES_PER_TABLE = 4096;

export const ENTRY_LENGTH = 4;
/** The entry of a grain of zeroes, with `FLAG_ZEROED_GRAINS`. */
export const ENTRY_ZERO = 1;
export const MAX_SECTOR = 2 ** 32 - 1;

export const MAX_ENTRIES_PER_TABLE = 512;
/** Sectors. QEMU takes no larger grains. */
export const MAX_GRAIN_SECTORS = 0x20_0000;
/** Bytes: a compressed grain is decompressed whole. */
export const MAX_COMPRESSED_GRAIN = 16 * 2 ** 20;
/** Entries of a grain directory, which is held in memory: 128 TiB with tables of 32 MiB. */
export const MAX_DIRECTORY_ENTRIES = 2 ** 22;

/** What is made here, as QEMU makes it. */
export const NEW_GRAIN_SECTORS = 128;
export const NEW_ENTRIES_PER_TABLE = 512;
export const NEW_DESCRIPTOR_SECTORS = 20;
/** Bytes of an extent of the subformats that are split. */
export const SPLIT_BYTES = 2 * 2 ** 30;

/** Bytes of a descriptor. QEMU reads no more. */
export const MAX_DESCRIPTOR_BYTES = 2 ** 20;
export const MAX_EXTENTS = 4096;
/** A CID that means: none. */
export const NO_PARENT_CID = 0xffff_ffff;

/** Header of a space efficient sparse extent, which never changes: numbers of 64 bits, places in sectors. */
export const SE_SPARSE = {
  magic: 0,
  version: 8,
  capacity: 16,
  grainSize: 24,
  tableSize: 32,
  flags: 40,
  volatileHeader: 80,
  directory: 128,
  tables: 144,
  grains: 192,
} as const;
export const SE_SPARSE_MAGIC = 0xcafe_baben;
export const SE_SPARSE_VERSION = 0x2_0000_0001n;
export const SE_SPARSE_GRAIN_SECTORS = 8;
export const SE_SPARSE_TABLE_SECTORS = 64;
export const SE_SPARSE_ENTRY_LENGTH = 8;
/** The header that changes: it says whether the journal must be replayed. */
export const SE_SPARSE_VOLATILE_MAGIC = 0xcafe_cafen;
export const SE_SPARSE_VOLATILE_REPLAY = 24;
/** Highest four bits of an entry of a grain table. */
export const SE_SPARSE_KIND = { unallocated: 0, unmapped: 1, zero: 2, allocated: 3 } as const;

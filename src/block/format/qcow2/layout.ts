/**
 * The fields of a qcow2 file and the limits on every length that is read from one. No logic.
 *
 * All numbers in a file are big-endian. 64-bit table entries are read as two 32-bit halves, so the masks below come in halves
 * too: bit 63 of an entry is bit 31 of its high half.
 *
 * Source: QEMU, docs/interop/qcow2.rst.
 */

// ── Header ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The first four bytes, "QFI" and 0xfb, as a number. */
export const MAGIC = 0x514649fb;

/** Byte offsets of the header's fields. */
export const FIELD = {
  magic: 0,
  version: 4,
  /** Where the backing file's name is, 0 without one. The name does not end in a zero byte. */
  backingFileOffset: 8,
  backingFileSize: 16,
  clusterBits: 20,
  /** Bytes of the virtual disk. */
  size: 24,
  cryptMethod: 32,
  /** Entries of the active L1 table. */
  l1Size: 36,
  l1TableOffset: 40,
  refcountTableOffset: 48,
  refcountTableClusters: 56,
  nbSnapshots: 60,
  snapshotsOffset: 64,
  // Version 3 only, from here on.
  incompatibleFeatures: 72,
  compatibleFeatures: 80,
  autoclearFeatures: 88,
  /** A refcount has 2^refcountOrder bits. Version 2 always has 16. */
  refcountOrder: 96,
  headerLength: 100,
  /** Only there when `headerLength` reaches it, and then followed by seven bytes of padding. */
  compressionType: 104,
} as const;

export const HEADER_LENGTH_V2 = 72;
/** The shortest version 3 header: everything up to and with `headerLength`. */
export const HEADER_LENGTH_V3 = 104;
/** What is written: with `compressionType` and its padding, as QEMU does. */
export const HEADER_LENGTH_WRITTEN = 112;

export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 21;
export const DEFAULT_CLUSTER_SIZE = 65536;
export const MAX_REFCOUNT_ORDER = 6;
/** The width of version 2, and the default. */
export const DEFAULT_REFCOUNT_ORDER = 4;

export const CRYPT_NONE = 0;
export const CRYPT_AES = 1;
export const CRYPT_LUKS = 2;

export const COMPRESSION_ZLIB = 0;
export const COMPRESSION_ZSTD = 1;

/** Refcounts may be wrong: they are rebuilt from the L1 and L2 tables before anything is allocated. */
export const INCOMPATIBLE_DIRTY = 1n << 0n;
/** Any structure may be wrong: the image is not written to but to repair it. */
export const INCOMPATIBLE_CORRUPT = 1n << 1n;
/** Guest clusters are in another file. */
export const INCOMPATIBLE_DATA_FILE = 1n << 2n;
/** `compressionType` is there and not 0. */
export const INCOMPATIBLE_COMPRESSION = 1n << 3n;
/** L2 entries have 16 bytes and describe 32 subclusters each. */
export const INCOMPATIBLE_EXTENDED_L2 = 1n << 4n;

/** Refcounts may be written late, under the dirty bit. */
export const COMPATIBLE_LAZY_REFCOUNTS = 1n << 0n;

/** The bitmaps extension is true to the disk's contents. */
export const AUTOCLEAR_BITMAPS = 1n << 0n;
/** The external data file can be read as a raw image. */
export const AUTOCLEAR_RAW_DATA_FILE = 1n << 1n;

// ── Header extensions ───────────────────────────────────────────────────────────────────────────────────────────────

/** Type and length, 32 bits each, before an extension's data; the data is padded to a multiple of 8. */
export const EXTENSION_HEADER_LENGTH = 8;

export const EXTENSION = {
  end: 0x00000000,
  backingFormat: 0xe2792aca,
  featureNameTable: 0x6803f857,
  bitmaps: 0x23852875,
  encryptionHeader: 0x0537be77,
  dataFile: 0x44415441,
  /** This project's own, "SPND": what the image remembers of its base's identity. JSON text in UTF-8. */
  backingIdentity: 0x53504e44,
  /** This project's own, "SPNx": covers bytes that mean nothing while the header is changed. */
  cover: 0x53504e78,
} as const;

/** Bytes of the encryption header extension: offset and length of that header. */
export const ENCRYPTION_POINTER_LENGTH = 16;

/** Entry of the feature name table: kind of feature, bit number, and 46 bytes of name filled up with zeroes. */
export const FEATURE_NAME_ENTRY_LENGTH = 48;
export const FEATURE_NAME_OFFSET = 2;

/** The kinds of feature in that table, in the order of their numbers. */
export const FEATURE_KINDS = ['incompatible', 'compatible', 'autoclear'] as const;
export type FeatureKind = (typeof FEATURE_KINDS)[number];

/** The features that have names, in the order in which QEMU lists them. */
export const FEATURE_NAMES: readonly { readonly kind: FeatureKind; readonly bit: number; readonly name: string }[] = [
  { kind: 'incompatible', bit: 0, name: 'dirty bit' },
  { kind: 'incompatible', bit: 1, name: 'corrupt bit' },
  { kind: 'incompatible', bit: 2, name: 'external data file' },
  { kind: 'incompatible', bit: 3, name: 'compression type' },
  { kind: 'incompatible', bit: 4, name: 'extended L2 entries' },
  { kind: 'compatible', bit: 0, name: 'lazy refcounts' },
  { kind: 'autoclear', bit: 0, name: 'bitmaps' },
  { kind: 'autoclear', bit: 1, name: 'raw external data' },
];

/** QEMU writes the feature name table only where at least this much of the header's cluster is still free. */
export const FEATURE_TABLE_MIN_ROOM = 4096;

// ── Table entries ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Bytes of an entry in the L1 and refcount tables, and in L2 tables without subclusters. */
export const ENTRY_LENGTH = 8;
/** Bytes of an L2 entry with subclusters: a standard entry, then which subclusters are zero and which are stored, 32 bits each. */
export const EXTENDED_ENTRY_LENGTH = 16;
/** In a cluster of an image with extended L2 entries. */
export const SUBCLUSTERS = 32;
/** The smallest cluster whose subclusters are whole sectors. */
export const MIN_EXTENDED_CLUSTER_BITS = 14;

/** High half, L1 and L2: what it leads to has a refcount of exactly one and may be written in place. */
export const ENTRY_COPIED = 0x80000000;
/** High half, L2: the cluster is compressed, and the other bits mean something else. */
export const L2_COMPRESSED = 0x40000000;
/** Low half, L2, version 3: the cluster reads as zeroes. */
export const L2_ZERO = 0x00000001;

/** Bits 9 to 55 are the offset. */
export const ENTRY_OFFSET_HIGH = 0x00ffffff;
export const ENTRY_OFFSET_LOW = 0xfffffe00;
/** What must be zero in an L1 entry: bits 56 to 62 and 0 to 8. */
export const L1_RESERVED_HIGH = 0x7f000000;
export const L1_RESERVED_LOW = 0x000001ff;
/** What must be zero in the L2 entry of a standard cluster: bits 56 to 61 and 1 to 8. */
export const L2_RESERVED_HIGH = 0x3f000000;
export const L2_RESERVED_LOW = 0x000001fe;
/** High half, L2: what the entry of a cluster that merely holds data has not: those, compression, and offsets from 2^53 on. */
export const L2_NOT_PLAIN_HIGH = 0x7fe00000;
/** What must be zero in a refcount table entry: bits 0 to 8. */
export const REFCOUNT_TABLE_RESERVED_LOW = 0x000001ff;

/** Offsets at and above 2^56 cannot be written into L1 and L2 tables. */
export const MAX_ENTRY_OFFSET = 2 ** 56;

// ── Limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Bytes of the active L1 table. QEMU: QCOW_MAX_L1_SIZE. */
export const MAX_L1_BYTES = 32 * 1024 * 1024;
/** Bytes of the refcount table. QEMU: QCOW_MAX_REFTABLE_SIZE. */
export const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024;
/** Internal snapshots. QEMU: QCOW_MAX_SNAPSHOTS. */
export const MAX_SNAPSHOTS = 65536;
/** Bytes of a backing file's name, as the specification says. */
export const MAX_BACKING_FILE_BYTES = 1023;
/** Bytes of a backing file's format name: QEMU's longest. */
export const MAX_BACKING_FORMAT_BYTES = 15;
/** Bytes of an external data file's name: as many as a backing file's. */
export const MAX_DATA_FILE_BYTES = 1023;
/** Bytes of the identity that an image keeps of its base. */
export const MAX_BACKING_IDENTITY_BYTES = 4096;
/** Header extensions in one image. Each takes 8 bytes at least; no program writes more than a handful. */
export const MAX_HEADER_EXTENSIONS = 256;

// ── Bitmaps ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Byte offsets in the bitmaps extension. */
export const BITMAPS_FIELD = { count: 0, reserved: 4, directorySize: 8, directoryOffset: 16 } as const;
export const BITMAPS_EXTENSION_LENGTH = 24;

/** Byte offsets in an entry of the bitmap directory; extra data and name follow, then padding to a multiple of 8. */
export const BITMAP_FIELD = {
  tableOffset: 0,
  /** Entries. */
  tableSize: 8,
  flags: 12,
  type: 16,
  granularityBits: 17,
  nameSize: 18,
  extraDataSize: 20,
} as const;
export const BITMAP_ENTRY_LENGTH = 24;

/** It was not stored when the image was written to last: it may have missed writes. */
export const BITMAP_IN_USE = 1;
/** It records as soon as the image is opened. */
export const BITMAP_AUTO = 2;
/** Whoever does not know its extra data may use it all the same. */
export const BITMAP_EXTRA_DATA_COMPATIBLE = 4;
export const BITMAP_KNOWN_FLAGS = BITMAP_IN_USE | BITMAP_AUTO | BITMAP_EXTRA_DATA_COMPATIBLE;
/** The only type that there is: a dirty tracking bitmap. */
export const BITMAP_TYPE_DIRTY = 1;

/** Low half of a bitmap table entry without an offset: all its bits are ones. */
export const BITMAP_ALL_ONES = 0x00000001;
/** What must be zero in a bitmap table entry: bits 56 to 63 and 1 to 8. */
export const BITMAP_RESERVED_HIGH = 0xff000000;
export const BITMAP_RESERVED_LOW = 0x000001fe;

/** QEMU: QCOW2_MAX_BITMAPS. */
export const MAX_BITMAPS = 65535;
/** Bytes of the bitmap directory. QEMU: QCOW2_MAX_BITMAP_DIRECTORY_SIZE. */
export const MAX_BITMAP_DIRECTORY_BYTES = MAX_BITMAPS * 1024;
/** Entries of one bitmap's table. QEMU: BME_MAX_TABLE_SIZE. */
export const MAX_BITMAP_TABLE_ENTRIES = 0x8000000;
/** Bytes of a bitmap's name. QEMU: BME_MAX_NAME_SIZE. */
export const MAX_BITMAP_NAME_BYTES = 1023;
export const MIN_BITMAP_GRANULARITY_BITS = 9;
export const MAX_BITMAP_GRANULARITY_BITS = 31;
/** Bytes of bits that one bitmap may take. QEMU: BME_MAX_PHYS_SIZE. */
export const MAX_BITMAP_BYTES = 512 * 1024 * 1024;

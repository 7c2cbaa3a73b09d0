/**
 * Structures and limits of QED. All numbers are little-endian.
 *
 * Source: QEMU, docs/interop/qed_spec.rst.
 */

/** "QED\0", as a little-endian number. */
export const MAGIC = 0x00444551;
export const HEADER_LENGTH = 64;

export const FIELD = {
  magic: 0,
  /** Bytes of a cluster. */
  clusterSize: 4,
  /** Clusters of an L1 or L2 table. */
  tableSize: 8,
  /** Clusters that the header has for itself. */
  headerSize: 12,
  features: 16,
  compatFeatures: 24,
  autoclearFeatures: 32,
  l1TableOffset: 40,
  /** Bytes of the disk. */
  imageSize: 48,
  backingFilenameOffset: 56,
  backingFilenameSize: 60,
} as const;

/** The image has a backing file. */
export const FEATURE_BACKING_FILE = 1n;
/** The tables must be checked before the image is used. */
export const FEATURE_NEED_CHECK = 2n;
/** The backing file is raw, and is not to be probed. */
export const FEATURE_BACKING_FORMAT_NO_PROBE = 4n;
export const KNOWN_FEATURES = FEATURE_BACKING_FILE | FEATURE_NEED_CHECK | FEATURE_BACKING_FORMAT_NO_PROBE;

export const MIN_CLUSTER_SIZE = 4096;
export const MAX_CLUSTER_SIZE = 64 * 2 ** 20;
export const DEFAULT_CLUSTER_SIZE = 65_536;
export const MIN_TABLE_SIZE = 1;
export const MAX_TABLE_SIZE = 16;
export const DEFAULT_TABLE_SIZE = 4;
/** Bytes of a backing file's name. QEMU takes no longer one. */
export const MAX_BACKING_FILENAME = 1023;

export const ENTRY_LENGTH = 8;
/** The L2 entry of a cluster that reads as zeroes, whatever the backing file holds. */
export const ENTRY_ZERO = 1;

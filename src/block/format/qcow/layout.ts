/**
 * Structures and limits of qcow, version 1: QEMU's first copy-on-write format. All numbers are big-endian.
 *
 * Source: Mark McLoughlin, "The QCOW Image Format"; QEMU's behaviour where that says nothing.
 */

/** "QFI\xfb". */
export const MAGIC = 0x514649fb;
export const VERSION = 1;
export const HEADER_LENGTH = 48;

export const FIELD = {
  magic: 0,
  version: 4,
  backingFileOffset: 8,
  backingFileSize: 16,
  mtime: 20,
  /** Bytes of the disk. */
  size: 24,
  clusterBits: 32,
  l2Bits: 33,
  cryptMethod: 36,
  l1TableOffset: 40,
} as const;

export const MIN_CLUSTER_BITS = 9;
export const MAX_CLUSTER_BITS = 16;
/** An L2 table has 512 bytes to 64 KiB. */
export const MIN_L2_BITS = 6;
export const MAX_L2_BITS = 13;

export const CRYPT_NONE = 0;
export const CRYPT_AES = 1;

/** Bytes of a backing file's name. QEMU takes no longer one. */
export const MAX_BACKING_FILENAME = 1023;
/** Bytes of an L1 table that is held in memory: enough for 16 TiB. */
export const MAX_L1_BYTES = 64 * 2 ** 20;

export const ENTRY_LENGTH = 8;
/** Highest bit of the upper half of an L2 entry: the cluster is compressed, and the entry says how long it is. */
export const COMPRESSED_HIGH = 0x80000000;

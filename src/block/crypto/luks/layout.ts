/**
 * The fields of a LUKS1 header and the limits on what is read from one. No logic. All numbers are big-endian.
 *
 * Source: LUKS On-Disk Format Specification, version 1.2.3.
 */

/** "LUKS", 0xba, 0xbe. */
export const MAGIC = [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe] as const;

/** Byte offsets of the header's fields. */
export const FIELD = {
  magic: 0,
  version: 6,
  cipherName: 8,
  cipherMode: 40,
  hashSpec: 72,
  /** Where the encrypted disk begins, in sectors. */
  payloadOffset: 104,
  /** Bytes of the volume's key. */
  keyBytes: 108,
  keyDigest: 112,
  keyDigestSalt: 132,
  keyDigestIterations: 164,
  uuid: 168,
  keySlots: 208,
} as const;

export const NAME_BYTES = 32;
export const UUID_BYTES = 40;
export const DIGEST_BYTES = 20;
export const SALT_BYTES = 32;

export const KEY_SLOTS = 8;
export const KEY_SLOT_BYTES = 48;
/** Byte offsets of a key slot's fields. */
export const SLOT_FIELD = { active: 0, iterations: 4, salt: 8, keyOffset: 40, stripes: 44 } as const;
export const SLOT_ACTIVE = 0x00ac71f3;
export const SLOT_INACTIVE = 0x0000dead;

/** The whole header, with its key slots. */
export const HEADER_BYTES = 592;

/** Into so many parts, each as long as the key, a key is split before it is stored. No other number is in use. */
export const STRIPES = 4000;
/** Key material begins at multiples of this. */
export const KEY_ALIGNMENT = 4096;

/** As few as QEMU and the specification let it be. */
export const MIN_ITERATIONS = 1000;
/**
 * More than ten seconds of the fastest machines: what a header asks for beyond that is there to make us hang. cryptsetup's and
 * QEMU's two seconds make some millions.
 */
export const MAX_ITERATIONS = 2 ** 26;

/**
 * The fields of LUKS2's binary headers, and the limits on what is read from them and from the JSON behind them. No logic. Binary
 * numbers are big-endian.
 *
 * Source: LUKS2 On-Disk Format Specification, version 1.1.3.
 */
import { MAGIC } from '../luks/layout.ts';

/** Of the first header that of LUKS1, of the second its letters the other way round. */
export const MAGICS = { primary: MAGIC, secondary: [0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe] } as const;
export type HeaderName = keyof typeof MAGICS;

export const VERSION = 2;

/** Byte offsets of a binary header's fields. */
export const FIELD = {
  magic: 0,
  version: 6,
  /** Bytes of the binary header and its JSON together. */
  headerBytes: 8,
  sequence: 16,
  label: 24,
  checksumAlgorithm: 72,
  salt: 104,
  uuid: 168,
  subsystem: 208,
  /** Where the header itself begins. */
  offset: 256,
  checksum: 448,
} as const;

export const LABEL_BYTES = 48;
export const ALGORITHM_BYTES = 32;
export const UUID_BYTES = 40;
export const SUBSYSTEM_BYTES = 48;
export const CHECKSUM_BYTES = 64;

/** Bytes of a binary header; JSON follows. */
export const BINARY_BYTES = 4096;

/** What a header may have with its JSON. The second one begins where the first ends, so it is at one of these, too. */
export const HEADER_SIZES: readonly number[] = Array.from({ length: 9 }, (_, power) => 16_384 * 2 ** power);

/** As many objects of each kind as cryptsetup has numbers for. */
export const MAX_KEY_SLOTS = 32;
export const MAX_TOKENS = 32;
export const MAX_SEGMENTS = 32;
export const MAX_DIGESTS = 8;
/** Names in one list: flags, requirements. */
export const MAX_NAMES = 64;

/** Bytes of a key; the longest that cryptsetup makes. */
export const MAX_KEY_BYTES = 512;
export const MAX_SALT_BYTES = 1024;
export const MIN_SALT_BYTES = 8;
export const SECTOR_SIZES: readonly number[] = [512, 1024, 2048, 4096];

/** KiB that trying a passphrase may take: as much as cryptsetup uses unless it is told to use more. */
export const MAX_ARGON2_KIB = 2 ** 20;
/** Blocks of 1 KiB that trying a passphrase may fill, pass by pass: eight times what cryptsetup takes on common machines. */
export const MAX_ARGON2_BLOCKS = 2 ** 25;
export const MAX_ARGON2_LANES = 64;

/** How a slot is to be preferred. 0: it is tried by nobody who has not asked for it by its number. */
export const PRIORITY_IGNORE = 0;
export const PRIORITY_NORMAL = 1;
export const PRIORITY_PREFER = 2;

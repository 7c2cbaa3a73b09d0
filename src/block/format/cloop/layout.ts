/**
 * Structures and limits of cloop, version 2: a compressed disk for the Linux driver of that name, on Knoppix's CDs. All numbers are
 * big-endian.
 *
 * Source: cloop's README and advancecomp's `advfs`; the limits are QEMU's where they are not smaller here.
 */

/** A shell script that would mount the file. Programs write more behind it. */
export const MAGIC = '#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n';

export const FIELD = {
  /** Bytes of a block, decompressed. */
  blockSize: 128,
  blocks: 132,
  /** Where each block begins in the file, and where the last one ends. */
  offsets: 136,
} as const;

export const OFFSET_LENGTH = 8;
export const MAX_BLOCK_BYTES = 64 * 2 ** 20;
/** Bytes of a table that is held in memory: 512 GiB in blocks of 64 KiB. */
export const MAX_OFFSETS_BYTES = 64 * 2 ** 20;
/** Bytes of a block in the file. */
export const MAX_STORED_BYTES = 2 * MAX_BLOCK_BYTES;

/**
 * Structures and limits of Apple's disk images (UDIF). All numbers are big-endian.
 *
 * Source: the descriptions of UDIF by libmodi ("Universal Disk Image Format") and in newosxbook.com, "Demystifying the DMG file
 * format"; what the checksums are of, and that LZMA chunks are xz streams, as 7-Zip has it; limits on what a chunk may be as QEMU's.
 */

export const TRAILER_LENGTH = 512;
export const TRAILER_MAGIC = 'koly';
/** The trailer begins within so many bytes of the end: some programs pad the file to whole sectors. */
export const TRAILER_SEARCH = 1023;

export const TRAILER = {
  magic: 0,
  version: 4,
  headerSize: 8,
  dataForkOffset: 24,
  dataForkLength: 32,
  resourceForkOffset: 40,
  resourceForkLength: 48,
  segmentCount: 60,
  /** Of the data fork as it is in the file. */
  dataChecksum: 80,
  plistOffset: 216,
  plistLength: 224,
} as const;

/** A resource fork begins with where its data is and how long it is. */
export const FORK = { dataOffset: 0, dataLength: 8, headerLength: 16 } as const;

/** A table of blocks ("blkx"): some fields, then chunks. */
export const TABLE_MAGIC = 'mish';
export const TABLE = {
  magic: 0,
  firstSector: 8,
  dataOffset: 24,
  /** Of what its chunks become, one behind the other, without those that are to be ignored. */
  checksum: 64,
  chunkCount: 200,
  chunks: 204,
} as const;
export const CHUNK_LENGTH = 40;
export const CHUNK = { type: 0, sector: 8, sectorCount: 16, offset: 24, length: 32 } as const;

/** A checksum: its type, its size in bits, and 128 bytes for it. */
export const CHECKSUM = { type: 0, bits: 4, value: 8, length: 136 } as const;
export const CHECKSUM_CRC32 = 2;

export const CHUNK_ZERO = 0;
export const CHUNK_RAW = 1;
export const CHUNK_IGNORE = 2;
export const CHUNK_COMMENT = 0x7ffffffe;
export const CHUNK_ADC = 0x80000004;
export const CHUNK_ZLIB = 0x80000005;
export const CHUNK_BZIP2 = 0x80000006;
export const CHUNK_LZFSE = 0x80000007;
/** An xz stream each. */
export const CHUNK_LZMA = 0x80000008;
export const CHUNK_END = 0xffffffff;

/** Of the tables as they are in the file, whether as property list or resource fork. */
export const MAX_TABLES_BYTES = 16 * 2 ** 20;
/** Bytes of a compressed chunk, and of what it becomes. */
export const MAX_CHUNK_BYTES = 64 * 2 ** 20;
/** Decompressed chunks that an image keeps: as many as fit, but always one. */
export const KEPT_CHUNKS = { bytes: 4 * 2 ** 20, atLeast: 1, atMost: 8 } as const;

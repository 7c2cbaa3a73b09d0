/**
 * Structures and limits of VDI, VirtualBox's disk image. All numbers are little-endian.
 *
 * Source: VirtualBox, VDICore.h (names of fields); QEMU's behaviour where programs differ.
 */

export const HEADER_LENGTH = 512;
export const SIGNATURE = 0xbeda107f;
export const VERSION_1_1 = 0x00010001;
/** What VirtualBox, and QEMU after it, write at the start of a file. Readers look at the signature only. */
export const TEXT = '<<< QEMU VM Virtual Disk Image >>>\n';

export const FIELD = {
  text: 0,
  signature: 0x40,
  version: 0x44,
  /** Bytes of the header from here on. */
  headerSize: 0x48,
  imageType: 0x4c,
  offsetBmap: 0x154,
  offsetData: 0x158,
  sectorSize: 0x168,
  diskSize: 0x170,
  blockSize: 0x178,
  /** Bytes in front of each block. */
  blockExtra: 0x17c,
  blocksInImage: 0x180,
  blocksAllocated: 0x184,
  uuidImage: 0x188,
  uuidLastSnap: 0x198,
  /** The image that a differencing image stands on. */
  uuidLink: 0x1a8,
  uuidParent: 0x1b8,
} as const;

export const HEADER_SIZE_1_1 = 0x190;
export const UUID_LENGTH = 16;

export const TYPE_DYNAMIC = 1;
export const TYPE_STATIC = 2;
export const TYPE_UNDO = 3;
export const TYPE_DIFFERENCING = 4;

/** Entry of the block map: nothing is stored for the block. */
export const BLOCK_UNALLOCATED = 0xffffffff;
/** Entry of the block map: the block is zeroes. */
export const BLOCK_ZERO = 0xfffffffe;

export const BLOCK_SIZE = 2 ** 20;
/** Bytes of a block map that is held in memory: that of a disk of 16 TiB. */
export const MAX_BMAP_BYTES = 64 * 2 ** 20;

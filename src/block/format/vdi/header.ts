import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { formatGuid } from '../shared/guid.ts';
import {
  BLOCK_SIZE,
  FIELD,
  HEADER_LENGTH,
  HEADER_SIZE_1_1,
  MAX_BMAP_BYTES,
  SIGNATURE,
  TEXT,
  TYPE_DIFFERENCING,
  TYPE_DYNAMIC,
  TYPE_STATIC,
  UUID_LENGTH,
  VERSION_1_1,
} from './layout.ts';
import { roundUp } from '../../../binary/round-up.ts';

export interface VdiHeader {
  readonly imageType: number;
  readonly offsetBmap: number;
  readonly offsetData: number;
  /** Bytes. */
  readonly diskSize: number;
  readonly blocksInImage: number;
  readonly blocksAllocated: number;
  /** As text. */
  readonly uuidImage: string;
  readonly uuidLink: string;
}

/** The header's bytes as they are, so that what is not understood is kept, and what they say. */
export interface ReadHeader {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly header: VdiHeader;
}

/**
 * Reads and checks the header.
 *
 * @throws BlockError `corrupt` for a field that cannot be, `unsupported` for other versions, types and sizes of blocks
 */
export function* readHeader(file: BlockChild): Co<ReadHeader> {
  const bytes = new Uint8Array(HEADER_LENGTH);
  yield* settle(file.read(0, bytes));
  const view = new DataView(bytes.buffer);
  const u32 = (at: number): number => view.getUint32(at, true);
  if (u32(FIELD.signature) !== SIGNATURE) {
    throw new BlockError(
      'corrupt',
      `Image not in VDI format (bad signature ${u32(FIELD.signature).toString(16).padStart(8, '0')})`,
    );
  }
  const diskSize = view.getBigUint64(FIELD.diskSize, true);
  checkSupported(u32);
  const header: VdiHeader = {
    imageType: u32(FIELD.imageType),
    offsetBmap: u32(FIELD.offsetBmap),
    offsetData: u32(FIELD.offsetData),
    diskSize: roundUp(Number(diskSize), SECTOR_SIZE),
    blocksInImage: u32(FIELD.blocksInImage),
    blocksAllocated: u32(FIELD.blocksAllocated),
    uuidImage: formatGuid(bytes.subarray(FIELD.uuidImage, FIELD.uuidImage + UUID_LENGTH)),
    uuidLink: formatGuid(bytes.subarray(FIELD.uuidLink, FIELD.uuidLink + UUID_LENGTH)),
  };
  checkGeometry(header, diskSize, file.length);
  return { bytes, header };
}

function checkSupported(u32: (at: number) => number): void {
  const version = u32(FIELD.version);
  if (version !== VERSION_1_1) {
    throw new BlockError('unsupported', `unsupported VDI image (version ${version >>> 16}.${version & 0xffff})`);
  }
  if (u32(FIELD.sectorSize) !== SECTOR_SIZE) {
    throw new BlockError('unsupported', `unsupported VDI image (sector size ${u32(FIELD.sectorSize)} is not 512)`);
  }
  if (u32(FIELD.blockSize) !== BLOCK_SIZE) {
    throw new BlockError(
      'unsupported',
      `unsupported VDI image (block size ${u32(FIELD.blockSize)} is not ${BLOCK_SIZE})`,
    );
  }
  if (u32(FIELD.blockExtra) !== 0) {
    throw new BlockError(
      'unsupported',
      `unsupported VDI image (${u32(FIELD.blockExtra)} bytes in front of each block)`,
    );
  }
  const type = u32(FIELD.imageType);
  if (type !== TYPE_DYNAMIC && type !== TYPE_STATIC && type !== TYPE_DIFFERENCING) {
    throw new BlockError('unsupported', `unsupported VDI image (type ${type})`);
  }
}

function checkGeometry(header: VdiHeader, diskSize: bigint, fileLength: number): void {
  const { offsetBmap, offsetData, blocksInImage } = header;
  if (offsetBmap % SECTOR_SIZE !== 0 || offsetBmap < HEADER_LENGTH) {
    throw broken(`the block map's offset 0x${offsetBmap.toString(16)} is inside the header, or not on a sector`);
  }
  if (offsetData % SECTOR_SIZE !== 0) {
    throw broken(`the data's offset 0x${offsetData.toString(16)} is not on a sector`);
  }
  const bmapBytes = blocksInImage * 4;
  if (bmapBytes > MAX_BMAP_BYTES) {
    throw new BlockError(
      'unsupported',
      `The block map has ${bmapBytes} bytes; no more than ${MAX_BMAP_BYTES} are read`,
    );
  }
  if (offsetBmap + bmapBytes > offsetData || offsetBmap + bmapBytes > fileLength) {
    throw broken(
      `the block map of ${blocksInImage} blocks does not fit between 0x${offsetBmap.toString(16)} and the data`,
    );
  }
  if (diskSize > BigInt(blocksInImage) * BigInt(BLOCK_SIZE)) {
    throw broken(`the disk size ${diskSize} is more than the image bitmap has space for (${blocksInImage} blocks)`);
  }
}

/** A header for a new image. @param uuids of the image and of its last snapshot, random */
export function encodeHeader(header: VdiHeader, uuids: readonly [Uint8Array, Uint8Array]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(TEXT), FIELD.text);
  view.setUint32(FIELD.signature, SIGNATURE, true);
  view.setUint32(FIELD.version, VERSION_1_1, true);
  view.setUint32(FIELD.headerSize, HEADER_SIZE_1_1, true);
  view.setUint32(FIELD.imageType, header.imageType, true);
  view.setUint32(FIELD.offsetBmap, header.offsetBmap, true);
  view.setUint32(FIELD.offsetData, header.offsetData, true);
  view.setUint32(FIELD.sectorSize, SECTOR_SIZE, true);
  view.setBigUint64(FIELD.diskSize, BigInt(header.diskSize), true);
  view.setUint32(FIELD.blockSize, BLOCK_SIZE, true);
  view.setUint32(FIELD.blocksInImage, header.blocksInImage, true);
  view.setUint32(FIELD.blocksAllocated, header.blocksAllocated, true);
  bytes.set(uuids[0], FIELD.uuidImage);
  bytes.set(uuids[1], FIELD.uuidLastSnap);
  return bytes;
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `The VDI header contradicts itself: ${what}`);
}

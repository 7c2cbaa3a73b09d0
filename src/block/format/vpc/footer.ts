import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { sectorsOf, type Geometry } from './geometry.ts';
import {
  FEATURES_RESERVED,
  FOOTER,
  FOOTER_COOKIE,
  FOOTER_LENGTH,
  MAX_GEOMETRY_SECTORS,
  MAX_SECTORS,
  TIMESTAMP_BASE,
  TYPE_DIFFERENCING,
  TYPE_DYNAMIC,
  TYPE_FIXED,
  VERSION,
} from './layout.ts';

export interface Footer {
  /** Where the dynamic header is. */
  readonly dataOffset: number;
  /** Four characters. */
  readonly creator: string;
  /** Bytes. */
  readonly currentSize: number;
  readonly geometry: Geometry;
  readonly diskType: number;
  /** Thirty-two hexadecimal digits. */
  readonly uuid: string;
}

/** How the size of the disk is found: from the size field, from the geometry, or by who made it. */
export type SizeSource = 'current_size' | 'chs' | undefined;

/** Programs whose disks are as large as the size field says: Hyper-V, QEMU where it was told to, disk2vhd, XenServer, Azure. */
const SIZE_CREATORS = new Set(['win ', 'qem2', 'd2v ', 'tap\0', 'wa\0\0']);

/** Whether these bytes begin as a footer does. */
export function isFooter(bytes: Uint8Array): boolean {
  return bytes.length >= FOOTER_LENGTH - 1 && ascii(bytes, FOOTER.cookie, 8) === FOOTER_COOKIE;
}

/** @throws BlockError `corrupt` for a wrong checksum or a field that cannot be, `unsupported` for other types */
export function decodeFooter(bytes: Uint8Array<ArrayBuffer>): Footer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const expected = checksum(bytes, FOOTER.checksum);
  if (view.getUint32(FOOTER.checksum) !== expected) {
    throw new BlockError(
      'corrupt',
      'The checksum of the VHD footer is incorrect: the file is damaged, or not all there',
    );
  }
  const diskType = view.getUint32(FOOTER.diskType);
  if (diskType !== TYPE_FIXED && diskType !== TYPE_DYNAMIC && diskType !== TYPE_DIFFERENCING) {
    throw new BlockError(
      'unsupported',
      `VHD disks of type ${diskType} are not known; fixed, dynamic and differencing ones are`,
    );
  }
  const currentSize = view.getBigUint64(FOOTER.currentSize);
  const dataOffset = view.getBigUint64(FOOTER.dataOffset);
  if (currentSize > BigInt(MAX_SECTORS) * BigInt(SECTOR_SIZE)) {
    throw new BlockError(
      'corrupt',
      `The VHD footer says that the disk has ${currentSize} bytes; 2040 GiB is the limit`,
    );
  }
  if (diskType !== TYPE_FIXED && dataOffset > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new BlockError('corrupt', `The VHD footer says that the dynamic header is at ${dataOffset}`);
  }
  return {
    dataOffset: Number(dataOffset),
    creator: ascii(bytes, FOOTER.creatorApplication, 4),
    currentSize: Number(currentSize),
    geometry: {
      cylinders: view.getUint16(FOOTER.cylinders),
      heads: view.getUint8(FOOTER.heads),
      sectorsPerTrack: view.getUint8(FOOTER.sectorsPerTrack),
    },
    diskType,
    uuid: hex(bytes.subarray(FOOTER.uuid, FOOTER.uuid + 16)),
  };
}

/**
 * The size of the disk in bytes. Virtual PC, Virtual Server and QEMU make disks as large as the geometry says, Hyper-V and some
 * others as large as the size field says. Of a program that is not known QEMU takes the geometry, and so do we. A geometry that is
 * the largest there is says nothing.
 */
export function diskSize({ creator, currentSize, geometry }: Footer, source: SizeSource): number {
  const byGeometry = source === 'chs' || (source === undefined && !SIZE_CREATORS.has(creator));
  const sectors = sectorsOf(geometry);
  if (!byGeometry || sectors === MAX_GEOMETRY_SECTORS) return currentSize - (currentSize % SECTOR_SIZE);
  return sectors * SECTOR_SIZE;
}

/** A new footer. @param uuid sixteen bytes */
export function encodeFooter(footer: Omit<Footer, 'uuid'>, uuid: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FOOTER_LENGTH);
  const view = new DataView(bytes.buffer);
  putAscii(bytes, FOOTER.cookie, FOOTER_COOKIE);
  view.setUint32(FOOTER.features, FEATURES_RESERVED);
  view.setUint32(FOOTER.version, VERSION);
  if (footer.diskType === TYPE_FIXED) bytes.fill(0xff, FOOTER.dataOffset, FOOTER.dataOffset + 8);
  else view.setBigUint64(FOOTER.dataOffset, BigInt(footer.dataOffset));
  view.setUint32(FOOTER.timestamp, Math.max(0, Math.floor(Date.now() / 1000) - TIMESTAMP_BASE));
  putAscii(bytes, FOOTER.creatorApplication, footer.creator);
  view.setUint16(FOOTER.creatorVersion, 5);
  view.setUint16(FOOTER.creatorVersion + 2, 3);
  putAscii(bytes, FOOTER.creatorOs, 'Wi2k');
  view.setBigUint64(FOOTER.originalSize, BigInt(footer.currentSize));
  view.setBigUint64(FOOTER.currentSize, BigInt(footer.currentSize));
  view.setUint16(FOOTER.cylinders, footer.geometry.cylinders);
  view.setUint8(FOOTER.heads, footer.geometry.heads);
  view.setUint8(FOOTER.sectorsPerTrack, footer.geometry.sectorsPerTrack);
  view.setUint32(FOOTER.diskType, footer.diskType);
  bytes.set(uuid, FOOTER.uuid);
  view.setUint32(FOOTER.checksum, checksum(bytes, FOOTER.checksum));
  return bytes;
}

/** The one's complement of the sum of all bytes but the checksum's own. */
export function checksum(bytes: Uint8Array, checksumAt: number): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index++) {
    if (index < checksumAt || index >= checksumAt + 4) sum += bytes[index]!;
  }
  return ~sum >>> 0;
}

export function ascii(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

export function putAscii(bytes: Uint8Array, at: number, text: string): void {
  bytes.set(new TextEncoder().encode(text), at);
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

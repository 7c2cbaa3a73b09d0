import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { ascii, checksum, hex, putAscii } from './footer.ts';
import {
  DYNAMIC,
  DYNAMIC_COOKIE,
  DYNAMIC_LENGTH,
  LOCATOR,
  LOCATOR_ABSOLUTE,
  LOCATOR_LENGTH,
  LOCATOR_RELATIVE,
  LOCATORS,
  MAX_BLOCK_SIZE,
  MAX_LOCATOR_BYTES,
  MAX_TABLE_BYTES,
  PARENT_NAME_LENGTH,
  VERSION,
} from './layout.ts';

export interface DynamicHeader {
  readonly tableOffset: number;
  readonly entries: number;
  /** Bytes of data in a block. */
  readonly blockSize: number;
  /** Of the parent of a differencing disk. */
  readonly parentUuid: string;
  readonly parentFilename: string | undefined;
}

/** Bytes of the map of sectors that stands in front of each block's data. */
export function bitmapBytes(blockSize: number): number {
  return Math.ceil(blockSize / SECTOR_SIZE / 8 / SECTOR_SIZE) * SECTOR_SIZE;
}

/**
 * Reads the header of a dynamic or differencing disk.
 *
 * @param differencing it has a parent, whose name is read too
 * @param diskBytes the table must describe at least so much
 * @throws BlockError `corrupt` for a field that cannot be, `unsupported` for a table that is too large
 */
export function* readDynamicHeader(
  file: BlockChild,
  offset: number,
  differencing: boolean,
  diskBytes: number,
): Co<DynamicHeader> {
  if (offset + DYNAMIC_LENGTH > file.length) {
    throw new BlockError('corrupt', `The dynamic header should be at ${offset}, behind the end of the file`);
  }
  const bytes = new Uint8Array(DYNAMIC_LENGTH);
  yield* settle(file.read(offset, bytes));
  const view = new DataView(bytes.buffer);
  if (ascii(bytes, DYNAMIC.cookie, 8) !== DYNAMIC_COOKIE) {
    throw new BlockError('corrupt', `There is no dynamic header at ${offset}`);
  }
  if (view.getUint32(DYNAMIC.checksum) !== checksum(bytes, DYNAMIC.checksum)) {
    throw new BlockError('corrupt', 'The checksum of the dynamic header is incorrect');
  }
  const tableOffset = view.getBigUint64(DYNAMIC.tableOffset);
  const entries = view.getUint32(DYNAMIC.maxTableEntries);
  const blockSize = view.getUint32(DYNAMIC.blockSize);
  if (blockSize < SECTOR_SIZE || blockSize > MAX_BLOCK_SIZE || !Number.isInteger(Math.log2(blockSize))) {
    throw new BlockError('corrupt', `Invalid block size ${blockSize}: a power of two from 512 to ${MAX_BLOCK_SIZE}`);
  }
  if (entries * blockSize < diskBytes) {
    throw new BlockError('corrupt', `The table of ${entries} blocks is too small for a disk of ${diskBytes} bytes`);
  }
  if (entries * 4 > MAX_TABLE_BYTES) {
    throw new BlockError(
      'unsupported',
      `The table has ${entries} entries; no more than ${MAX_TABLE_BYTES / 4} are read`,
    );
  }
  if (tableOffset + BigInt(entries) * 4n > BigInt(file.length)) {
    throw new BlockError('corrupt', `The table at ${tableOffset}, of ${entries} blocks, does not fit into the file`);
  }
  return {
    tableOffset: Number(tableOffset),
    entries,
    blockSize,
    parentUuid: hex(bytes.subarray(DYNAMIC.parentUuid, DYNAMIC.parentUuid + 16)),
    parentFilename: differencing ? yield* readParentName(file, bytes) : undefined,
  };
}

/** The parent beside the image if that is known, else by its path on the machine that made it. */
function* readParentName(file: BlockChild, header: Uint8Array): Co<string | undefined> {
  const relative = yield* readLocator(file, header, LOCATOR_RELATIVE);
  const found = relative ?? (yield* readLocator(file, header, LOCATOR_ABSOLUTE));
  if (found !== undefined) return found.replaceAll('\\', '/').replace(/^\.\//, '');
  const name = header.subarray(DYNAMIC.parentName, DYNAMIC.parentName + PARENT_NAME_LENGTH);
  return untilNul(new TextDecoder('utf-16be').decode(name)) || undefined;
}

function* readLocator(file: BlockChild, header: Uint8Array, platform: string): Co<string | undefined> {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  for (let index = 0; index < LOCATORS; index++) {
    const at = DYNAMIC.parentLocators + index * LOCATOR_LENGTH;
    if (ascii(header, at + LOCATOR.platform, 4) !== platform) continue;
    const length = view.getUint32(at + LOCATOR.dataLength);
    const offset = view.getBigUint64(at + LOCATOR.dataOffset);
    if (length === 0 || length > MAX_LOCATOR_BYTES || offset + BigInt(length) > BigInt(file.length)) {
      throw new BlockError(
        'corrupt',
        `The parent's name should be at ${offset}, ${length} bytes long, where it cannot be`,
      );
    }
    const bytes = new Uint8Array(length);
    yield* settle(file.read(Number(offset), bytes));
    return untilNul(new TextDecoder('utf-16le').decode(bytes));
  }
  return undefined;
}

function untilNul(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

export function encodeDynamicHeader(tableOffset: number, entries: number, blockSize: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(DYNAMIC_LENGTH);
  const view = new DataView(bytes.buffer);
  putAscii(bytes, DYNAMIC.cookie, DYNAMIC_COOKIE);
  bytes.fill(0xff, DYNAMIC.dataOffset, DYNAMIC.dataOffset + 8);
  view.setBigUint64(DYNAMIC.tableOffset, BigInt(tableOffset));
  view.setUint32(DYNAMIC.version, VERSION);
  view.setUint32(DYNAMIC.maxTableEntries, entries);
  view.setUint32(DYNAMIC.blockSize, blockSize);
  view.setUint32(DYNAMIC.checksum, checksum(bytes, DYNAMIC.checksum));
  return bytes;
}

/** The metadata region: what kind of disk it is. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { formatGuid, guidBytes, GUID_LENGTH } from '../shared/guid.ts';
import {
  HAS_PARENT,
  ITEM,
  LEAVE_BLOCKS_ALLOCATED,
  MAX_BLOCK_SIZE,
  MAX_DISK_SIZE,
  MAX_METADATA_ITEM_LENGTH,
  MAX_METADATA_ITEMS,
  METADATA_ENTRY,
  METADATA_ENTRY_LENGTH,
  METADATA_IS_REQUIRED,
  METADATA_IS_USER,
  METADATA_IS_VIRTUAL_DISK,
  METADATA_SIGNATURE,
  METADATA_TABLE,
  METADATA_TABLE_LENGTH,
  MIN_BLOCK_SIZE,
  SECTOR_SIZES,
  SECTORS_PER_BITMAP,
} from './layout.ts';
import type { Region } from './regions.ts';

export interface VhdxMetadata {
  /** Bytes. */
  readonly blockSize: number;
  /** Blocks are never taken from where they are: a fixed disk. */
  readonly leaveBlocksAllocated: boolean;
  /** Bytes. */
  readonly virtualSize: number;
  /** The id that the disk has for SCSI, on vital product data page 83h. */
  readonly diskId: string;
  readonly logicalSectorSize: number;
  readonly physicalSectorSize: number;
}

interface Item {
  readonly offset: number;
  readonly length: number;
}

const KNOWN = new Map<string, string>(Object.entries(ITEM).map(([name, guid]) => [guid, name]));

/**
 * Reads the metadata that a disk must have.
 *
 * @throws BlockError `corrupt` for an item that is missing, twice there, or not what it can be; `unsupported` for a required
 * item that is not known, and for differencing disks
 */
export function* readMetadata(file: BlockChild, region: Region): Co<VhdxMetadata> {
  const items = yield* readTable(file, region);
  const bytesOf = function* (id: keyof typeof ITEM, length: number): Co<DataView> {
    const item = items.get(ITEM[id]);
    if (item === undefined) throw new BlockError('corrupt', `The metadata of the VHDX image has no ${id}`);
    if (item.length !== length) {
      throw new BlockError('corrupt', `The ${id} of the VHDX image has ${item.length} bytes, not ${length}`);
    }
    const bytes = new Uint8Array(length);
    yield* settle(file.read(region.offset + item.offset, bytes));
    return new DataView(bytes.buffer);
  };
  const parameters = yield* bytesOf('fileParameters', 8);
  const blockSize = parameters.getUint32(0, true);
  const flags = parameters.getUint32(4, true);
  if ((flags & HAS_PARENT) !== 0) {
    throw new BlockError('unsupported', 'Differencing VHDX images, those with a parent, are not supported');
  }
  const diskSize = (yield* bytesOf('virtualDiskSize', 8)).getBigUint64(0, true);
  const logicalSectorSize = (yield* bytesOf('logicalSectorSize', 4)).getUint32(0, true);
  const physicalSectorSize = (yield* bytesOf('physicalSectorSize', 4)).getUint32(0, true);
  const diskId = yield* bytesOf('page83Data', GUID_LENGTH);
  checkSizes(blockSize, diskSize, logicalSectorSize, physicalSectorSize);
  return {
    blockSize,
    leaveBlocksAllocated: (flags & LEAVE_BLOCKS_ALLOCATED) !== 0,
    virtualSize: Number(diskSize),
    diskId: formatGuid(new Uint8Array(diskId.buffer)),
    logicalSectorSize,
    physicalSectorSize,
  };
}

function* readTable(file: BlockChild, region: Region): Co<Map<string, Item>> {
  const bytes = new Uint8Array(METADATA_TABLE_LENGTH);
  yield* settle(file.read(region.offset, bytes));
  const view = new DataView(bytes.buffer);
  if (view.getBigUint64(METADATA_TABLE.signature, true) !== METADATA_SIGNATURE) {
    throw new BlockError('corrupt', `There is no VHDX metadata table at ${region.offset}`);
  }
  const count = view.getUint16(METADATA_TABLE.entryCount, true);
  if (count > MAX_METADATA_ITEMS) {
    throw new BlockError('corrupt', `The metadata table says that it has ${count} entries, over ${MAX_METADATA_ITEMS}`);
  }
  const items = new Map<string, Item>();
  for (let index = 0; index < count; index++) {
    const at = METADATA_TABLE.entries + index * METADATA_ENTRY_LENGTH;
    const guid = formatGuid(bytes.subarray(at, at + GUID_LENGTH));
    const flags = view.getUint32(at + METADATA_ENTRY.flags, true);
    const name = KNOWN.get(guid);
    const user = (flags & METADATA_IS_USER) !== 0;
    if (name === undefined || user) {
      if ((flags & METADATA_IS_REQUIRED) === 0) continue;
      throw new BlockError('unsupported', `The image needs metadata item ${guid}, which is not known`);
    }
    if (items.has(guid)) throw new BlockError('corrupt', `The metadata table has the ${name} twice`);
    const offset = view.getUint32(at + METADATA_ENTRY.offset, true);
    const length = view.getUint32(at + METADATA_ENTRY.length, true);
    if (offset < METADATA_TABLE_LENGTH || length > MAX_METADATA_ITEM_LENGTH || offset + length > region.length) {
      throw new BlockError(
        'corrupt',
        `The ${name}, of ${length} bytes at ${offset} of the metadata region, is not inside it`,
      );
    }
    items.set(guid, { offset, length });
  }
  return items;
}

function checkSizes(blockSize: number, diskSize: bigint, logical: number, physical: number): void {
  if (blockSize < MIN_BLOCK_SIZE || blockSize > MAX_BLOCK_SIZE || !Number.isInteger(Math.log2(blockSize))) {
    throw new BlockError('corrupt', `Invalid block size ${blockSize}: a power of two from 1 MiB to 256 MiB`);
  }
  if (!SECTOR_SIZES.includes(logical)) {
    throw new BlockError('corrupt', `Invalid logical sector size ${logical}: 512 or 4096`);
  }
  if (!SECTOR_SIZES.includes(physical)) {
    throw new BlockError('corrupt', `Invalid physical sector size ${physical}: 512 or 4096`);
  }
  if (diskSize > BigInt(MAX_DISK_SIZE) || diskSize % BigInt(logical) !== 0n) {
    throw new BlockError(
      'corrupt',
      `Invalid virtual disk size ${diskSize}: whole sectors of ${logical}, 64 TiB at most`,
    );
  }
}

/** The region of a new image, as much of it as is not zero. */
export function encodeMetadata(metadata: VhdxMetadata): Uint8Array<ArrayBuffer> {
  const parameters = new Uint8Array(8);
  new DataView(parameters.buffer).setUint32(0, metadata.blockSize, true);
  new DataView(parameters.buffer).setUint32(4, metadata.leaveBlocksAllocated ? LEAVE_BLOCKS_ALLOCATED : 0, true);
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(metadata.virtualSize), true);
  const ofDisk = METADATA_IS_VIRTUAL_DISK | METADATA_IS_REQUIRED;
  const items = [
    { guid: ITEM.fileParameters, data: parameters, flags: METADATA_IS_REQUIRED },
    { guid: ITEM.virtualDiskSize, data: size, flags: ofDisk },
    { guid: ITEM.page83Data, data: guidBytes(metadata.diskId), flags: ofDisk },
    { guid: ITEM.logicalSectorSize, data: encodeUint32(metadata.logicalSectorSize), flags: ofDisk },
    { guid: ITEM.physicalSectorSize, data: encodeUint32(metadata.physicalSectorSize), flags: ofDisk },
  ];
  const bytes = new Uint8Array(METADATA_TABLE_LENGTH + 4096);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(METADATA_TABLE.signature, METADATA_SIGNATURE, true);
  view.setUint16(METADATA_TABLE.entryCount, items.length, true);
  let offset = METADATA_TABLE_LENGTH;
  for (const [index, { guid, data, flags }] of items.entries()) {
    const at = METADATA_TABLE.entries + index * METADATA_ENTRY_LENGTH;
    bytes.set(guidBytes(guid), at + METADATA_ENTRY.itemId);
    view.setUint32(at + METADATA_ENTRY.offset, offset, true);
    view.setUint32(at + METADATA_ENTRY.length, data.length, true);
    view.setUint32(at + METADATA_ENTRY.flags, flags, true);
    bytes.set(data, offset);
    offset += data.length;
  }
  return bytes;
}

function encodeUint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** Payload blocks between two entries of sector bitmaps in the BAT. */
export function chunkRatio({ blockSize, logicalSectorSize }: VhdxMetadata): number {
  return (SECTORS_PER_BITMAP * logicalSectorSize) / blockSize;
}

/** Entries that the BAT of a disk has, those of sector bitmaps between them included. */
export function batEntries(metadata: VhdxMetadata): number {
  const blocks = Math.ceil(metadata.virtualSize / metadata.blockSize);
  return blocks === 0 ? 0 : blocks + Math.floor((blocks - 1) / chunkRatio(metadata));
}

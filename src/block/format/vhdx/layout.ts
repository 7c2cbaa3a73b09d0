/**
 * Structures and limits of VHDX. All numbers are little-endian.
 *
 * Source: Microsoft, MS-VHDX "Virtual Hard Disk v2 (VHDX) File Format"; limits of QEMU where the specification has none.
 */

/** "vhdxfile" */
export const FILE_SIGNATURE = 0x656c_6966_7864_6876n;
export const CREATOR_OFFSET = 8;
export const CREATOR_BYTES = 512;

const KIB = 1024;
export const MIB = 1024 * KIB;

/** The header section at the start of the file; regions and blocks come behind it, at multiples of this. */
export const HEADER_SECTION = MIB;
export const REGION_ALIGNMENT = MIB;

export const HEADER_OFFSETS = [64 * KIB, 128 * KIB] as const;
export const HEADER_LENGTH = 4 * KIB;
/** "head" */
export const HEADER_SIGNATURE = 0x6461_6568;
export const HEADER = {
  signature: 0,
  checksum: 4,
  sequenceNumber: 8,
  fileWriteGuid: 16,
  dataWriteGuid: 32,
  logGuid: 48,
  logVersion: 64,
  version: 66,
  logLength: 68,
  logOffset: 72,
} as const;
export const VERSION = 1;
export const LOG_VERSION = 0;
export const NO_GUID = '00000000-0000-0000-0000-000000000000';

export const REGION_TABLE_OFFSETS = [192 * KIB, 256 * KIB] as const;
export const REGION_TABLE_LENGTH = 64 * KIB;
/** "regi" */
export const REGION_SIGNATURE = 0x6967_6572;
export const REGION_TABLE = { signature: 0, checksum: 4, entryCount: 8, entries: 16 } as const;
export const REGION_ENTRY = { guid: 0, fileOffset: 16, length: 24, required: 28 } as const;
export const REGION_ENTRY_LENGTH = 32;
export const MAX_REGIONS = 2047;
export const REGION_BAT = '2dc27766-f623-4200-9d64-115e9bfd4a08';
export const REGION_METADATA = '8b7ca206-4790-4b9a-b8fe-575f050f886e';

/** "metadata" */
export const METADATA_SIGNATURE = 0x6174_6164_6174_656dn;
export const METADATA_TABLE_LENGTH = 64 * KIB;
export const METADATA_TABLE = { signature: 0, entryCount: 10, entries: 32 } as const;
export const METADATA_ENTRY = { itemId: 0, offset: 16, length: 20, flags: 24 } as const;
export const METADATA_ENTRY_LENGTH = 32;
export const MAX_METADATA_ITEMS = 2047;
/** Bytes of an item's data. */
export const MAX_METADATA_ITEM_LENGTH = MIB;
export const METADATA_IS_USER = 1;
export const METADATA_IS_VIRTUAL_DISK = 2;
export const METADATA_IS_REQUIRED = 4;

export const ITEM = {
  fileParameters: 'caa16737-fa36-4d43-b3b6-33f0aa44e76b',
  virtualDiskSize: '2fa54224-cd1b-4876-b211-5dbed83bf4b8',
  page83Data: 'beca12ab-b2e6-4523-93ef-c309e000c746',
  logicalSectorSize: '8141bf1d-a96f-4709-ba47-f233a8faab5f',
  physicalSectorSize: 'cda348c7-445d-4471-9cc9-e9885251c556',
  parentLocator: 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c',
} as const;

export const LEAVE_BLOCKS_ALLOCATED = 1;
export const HAS_PARENT = 2;

export const MIN_BLOCK_SIZE = MIB;
export const MAX_BLOCK_SIZE = 256 * MIB;
export const MAX_DISK_SIZE = 64 * 2 ** 40;
export const SECTOR_SIZES: readonly number[] = [512, 4096];
/** Sectors that one sector bitmap block of 1 MiB describes. */
export const SECTORS_PER_BITMAP = 8 * MIB;
/** No file of the largest disk is longer: what leads behind this is damage. */
export const MAX_FILE_LENGTH = 2 * MAX_DISK_SIZE;

export const BAT_ENTRY_LENGTH = 8;
/** The table is read, cached and logged in pieces of this size. */
export const BAT_SLICE = 4 * KIB;
export const BLOCK_NOT_PRESENT = 0;
export const BLOCK_UNDEFINED = 1;
export const BLOCK_ZERO = 2;
export const BLOCK_UNMAPPED = 3;
/** The same in version 0.95 of the specification. */
export const BLOCK_UNMAPPED_095 = 5;
export const BLOCK_FULLY_PRESENT = 6;
export const BLOCK_PARTIALLY_PRESENT = 7;

export const LOG_SECTOR = 4 * KIB;
export const LOG_ALIGNMENT = MIB;
export const DEFAULT_LOG_SIZE = MIB;
export const LOG_ENTRY_HEADER_LENGTH = 64;
/** "loge" */
export const LOG_ENTRY_SIGNATURE = 0x6567_6f6c;
export const LOG_ENTRY = {
  signature: 0,
  checksum: 4,
  entryLength: 8,
  tail: 12,
  sequenceNumber: 16,
  descriptorCount: 24,
  logGuid: 32,
  flushedFileOffset: 48,
  lastFileOffset: 56,
} as const;
export const DESCRIPTOR_LENGTH = 32;
/** "zero" */
export const ZERO_SIGNATURE = 0x6f72_657a;
export const ZERO_DESCRIPTOR = { signature: 0, zeroLength: 8, fileOffset: 16, sequenceNumber: 24 } as const;
/** "desc" */
export const DATA_SIGNATURE = 0x6373_6564;
export const DATA_DESCRIPTOR = {
  signature: 0,
  trailingBytes: 4,
  leadingBytes: 8,
  fileOffset: 16,
  sequenceNumber: 24,
} as const;
/** "data" */
export const SECTOR_SIGNATURE = 0x6174_6164;
export const DATA_SECTOR = { signature: 0, sequenceHigh: 4, data: 8, sequenceLow: 4092 } as const;
/** What one data descriptor has of a sector's own bytes: the first 8 and the last 4. The others are in the data sector. */
export const LEADING_BYTES = 8;
export const TRAILING_BYTES = 4;

/** Descriptors beside the header in an entry's first sector. */
export const DESCRIPTORS_IN_FIRST = (LOG_SECTOR - LOG_ENTRY_HEADER_LENGTH) / DESCRIPTOR_LENGTH;
/** Bytes of a log entry that is replayed: Hyper-V's logs are 1 MiB as a whole. */
export const MAX_LOG_ENTRY_LENGTH = 64 * MIB;

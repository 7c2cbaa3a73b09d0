/** The region table: what lies where in the file, beside the log and the blocks. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { formatGuid, guidBytes, GUID_LENGTH } from '../shared/guid.ts';
import { checksum, seal, type VhdxHeader } from './header.ts';
import {
  HEADER_SECTION,
  MAX_REGIONS,
  REGION_ALIGNMENT,
  REGION_BAT,
  REGION_ENTRY,
  REGION_ENTRY_LENGTH,
  REGION_METADATA,
  REGION_SIGNATURE,
  REGION_TABLE,
  REGION_TABLE_LENGTH,
  REGION_TABLE_OFFSETS,
} from './layout.ts';

export interface Region {
  /** In words, for messages. */
  readonly name: string;
  /** Bytes in the file. */
  readonly offset: number;
  readonly length: number;
}

export interface Regions {
  readonly bat: Region;
  readonly metadata: Region;
  /** Everything that no block may lie over: the headers, the log, and every region. In the order of their offsets. */
  readonly occupied: readonly Region[];
}

/**
 * Reads the region table: the first copy that is whole.
 *
 * @throws BlockError `corrupt` when both are damaged, for a region that cannot be where it is said to be or that is missing;
 * `unsupported` for a required region that is not known
 */
export function* readRegions(file: BlockChild, header: VhdxHeader): Co<Regions> {
  for (const offset of REGION_TABLE_OFFSETS) {
    const bytes = new Uint8Array(REGION_TABLE_LENGTH);
    yield* settle(file.read(offset, bytes));
    const view = new DataView(bytes.buffer);
    const whole =
      view.getUint32(REGION_TABLE.signature, true) === REGION_SIGNATURE &&
      view.getUint32(REGION_TABLE.checksum, true) === checksum(bytes, REGION_TABLE.checksum);
    if (whole) return decodeRegions(bytes, header, file.length);
  }
  throw new BlockError('corrupt', 'Both VHDX region tables are damaged: their checksums are wrong');
}

function decodeRegions(bytes: Uint8Array<ArrayBuffer>, header: VhdxHeader, fileLength: number): Regions {
  const view = new DataView(bytes.buffer);
  const count = view.getUint32(REGION_TABLE.entryCount, true);
  if (count > MAX_REGIONS) {
    throw new BlockError('corrupt', `The region table says that it has ${count} entries, more than ${MAX_REGIONS}`);
  }
  const found = new Map<string, Region>();
  for (let index = 0; index < count; index++) {
    const at = REGION_TABLE.entries + index * REGION_ENTRY_LENGTH;
    const guid = formatGuid(bytes.subarray(at, at + GUID_LENGTH));
    const required = (view.getUint32(at + REGION_ENTRY.required, true) & 1) !== 0;
    if (required && guid !== REGION_BAT && guid !== REGION_METADATA) {
      throw new BlockError('unsupported', `The image needs region ${guid}, which is not known`);
    }
    if (found.has(guid)) throw new BlockError('corrupt', `Region ${guid} is in the region table twice`);
    const offset = view.getBigUint64(at + REGION_ENTRY.fileOffset, true);
    found.set(guid, placedRegion(guid, offset, view.getUint32(at + REGION_ENTRY.length, true), fileLength));
  }
  const bat = found.get(REGION_BAT);
  const metadata = found.get(REGION_METADATA);
  if (bat === undefined) throw new BlockError('corrupt', 'The region table has no block allocation table (BAT)');
  if (metadata === undefined) throw new BlockError('corrupt', 'The region table has no metadata region');
  return { bat, metadata, occupied: withoutOverlaps([...found.values()], header) };
}

function placedRegion(guid: string, offset: bigint, length: number, fileLength: number): Region {
  const name = guid === REGION_BAT ? 'BAT' : guid === REGION_METADATA ? 'metadata region' : `region ${guid}`;
  const alignment = BigInt(REGION_ALIGNMENT);
  const aligned = offset % alignment === 0n && length % REGION_ALIGNMENT === 0;
  if (!aligned || offset < BigInt(HEADER_SECTION) || length === 0) {
    throw new BlockError(
      'corrupt',
      `The ${name} at ${offset}, of ${length} bytes, is inside the headers, empty, or not in whole MiB`,
    );
  }
  if (offset + BigInt(length) > BigInt(fileLength)) {
    throw new BlockError(
      'corrupt',
      `The ${name} at ${offset}, of ${length} bytes, does not fit into the file of ${fileLength} bytes: it was cut off`,
    );
  }
  return { name, offset: Number(offset), length };
}

function withoutOverlaps(regions: readonly Region[], { logOffset, logLength }: VhdxHeader): readonly Region[] {
  const occupied = [
    { name: 'header section', offset: 0, length: HEADER_SECTION },
    ...(logLength > 0 ? [{ name: 'log', offset: logOffset, length: logLength }] : []),
    ...regions,
  ].toSorted((a, b) => a.offset - b.offset);
  for (const [index, region] of occupied.entries()) {
    const before = occupied[index - 1];
    if (before !== undefined && before.offset + before.length > region.offset) {
      throw new BlockError('corrupt', `The ${region.name} at ${region.offset} overlaps the ${before.name}`);
    }
  }
  return occupied;
}

/** One of the two tables of a new image; both have the same bytes. */
export function encodeRegions(bat: Omit<Region, 'name'>, metadata: Omit<Region, 'name'>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(REGION_TABLE_LENGTH);
  const view = new DataView(bytes.buffer);
  const entries = [
    { guid: REGION_BAT, ...bat },
    { guid: REGION_METADATA, ...metadata },
  ];
  view.setUint32(REGION_TABLE.signature, REGION_SIGNATURE, true);
  view.setUint32(REGION_TABLE.entryCount, entries.length, true);
  for (const [index, { guid, offset, length }] of entries.entries()) {
    const at = REGION_TABLE.entries + index * REGION_ENTRY_LENGTH;
    bytes.set(guidBytes(guid), at + REGION_ENTRY.guid);
    view.setBigUint64(at + REGION_ENTRY.fileOffset, BigInt(offset), true);
    view.setUint32(at + REGION_ENTRY.length, length, true);
    view.setUint32(at + REGION_ENTRY.required, 1, true);
  }
  seal(bytes, REGION_TABLE.checksum);
  return bytes;
}

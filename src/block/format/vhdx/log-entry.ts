/**
 * Entries of the log. One is a header, descriptors of sectors of 4 KiB that are to be written or made zero, and a data sector for
 * each of the former. The file offset and the ends of a sector's bytes are in its descriptor; where the data sector has their
 * place stands the entry's sequence number, so that an entry of which a part is old is told from a whole one.
 *
 * Source: MS-VHDX, section 2.3.1.
 */
import { BlockError } from '../../error.ts';
import { formatGuid, guidBytes, GUID_LENGTH } from '../shared/guid.ts';
import { checksum, seal } from './header.ts';
import {
  DATA_DESCRIPTOR,
  DATA_SECTOR,
  DATA_SIGNATURE,
  DESCRIPTOR_LENGTH,
  LEADING_BYTES,
  LOG_ENTRY,
  LOG_ENTRY_HEADER_LENGTH,
  LOG_ENTRY_SIGNATURE,
  LOG_SECTOR,
  SECTOR_SIGNATURE,
  TRAILING_BYTES,
  ZERO_DESCRIPTOR,
  ZERO_SIGNATURE,
} from './layout.ts';

export interface LogEntryHeader {
  /** Bytes, header and data sectors and all. */
  readonly entryLength: number;
  /** Where in the log the oldest entry begins that must be replayed along with this one. */
  readonly tail: number;
  readonly sequenceNumber: bigint;
  readonly descriptorCount: number;
  readonly logGuid: string;
  /** So long the file is for certain: what a replay needs is there. */
  readonly flushedFileOffset: bigint;
  /** So long it was when the entry was written, or was about to become. */
  readonly lastFileOffset: bigint;
}

/** A sector of the file as it shall be. */
export interface LoggedSector {
  readonly fileOffset: number;
  /** 4 KiB. */
  readonly bytes: Uint8Array;
}

/** What replaying an entry does. */
export type LogChange =
  | { readonly fileOffset: bigint; readonly bytes: Uint8Array }
  | { readonly fileOffset: bigint; readonly zeroLength: bigint };

/** @param sector the first of an entry, or what may be one. @returns undefined when it can be none of the log's */
export function decodeEntryHeader(sector: Uint8Array, logGuid: string): LogEntryHeader | undefined {
  const view = new DataView(sector.buffer, sector.byteOffset, sector.byteLength);
  if (view.getUint32(LOG_ENTRY.signature, true) !== LOG_ENTRY_SIGNATURE) return undefined;
  const header: LogEntryHeader = {
    entryLength: view.getUint32(LOG_ENTRY.entryLength, true),
    tail: view.getUint32(LOG_ENTRY.tail, true),
    sequenceNumber: view.getBigUint64(LOG_ENTRY.sequenceNumber, true),
    descriptorCount: view.getUint32(LOG_ENTRY.descriptorCount, true),
    logGuid: formatGuid(sector.subarray(LOG_ENTRY.logGuid, LOG_ENTRY.logGuid + GUID_LENGTH)),
    flushedFileOffset: view.getBigUint64(LOG_ENTRY.flushedFileOffset, true),
    lastFileOffset: view.getBigUint64(LOG_ENTRY.lastFileOffset, true),
  };
  return header.logGuid === logGuid ? header : undefined;
}

/** Sectors that the header and its descriptors take. */
function descriptorSectors(count: number): number {
  return Math.ceil((LOG_ENTRY_HEADER_LENGTH + count * DESCRIPTOR_LENGTH) / LOG_SECTOR);
}

/** Whether the numbers of a header can be those of an entry in a log of that length, as far as that is seen without the entry. */
export function isPossible(header: LogEntryHeader, logLength: number): boolean {
  const { entryLength, tail, sequenceNumber, descriptorCount } = header;
  return (
    sequenceNumber > 0n &&
    entryLength % LOG_SECTOR === 0 &&
    entryLength >= descriptorSectors(descriptorCount) * LOG_SECTOR &&
    entryLength <= logLength &&
    tail % LOG_SECTOR === 0 &&
    tail < logLength
  );
}

/**
 * Reads a whole entry.
 *
 * @param bytes all of it @returns what it changes, in order, or undefined: it was not written completely
 */
export function decodeEntry(bytes: Uint8Array, header: LogEntryHeader): readonly LogChange[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(LOG_ENTRY.checksum, true) !== checksum(bytes, LOG_ENTRY.checksum)) return undefined;
  const changes: LogChange[] = [];
  let sectorAt = descriptorSectors(header.descriptorCount) * LOG_SECTOR;
  for (let index = 0; index < header.descriptorCount; index++) {
    const at = LOG_ENTRY_HEADER_LENGTH + index * DESCRIPTOR_LENGTH;
    const signature = view.getUint32(at, true);
    if (view.getBigUint64(at + DATA_DESCRIPTOR.sequenceNumber, true) !== header.sequenceNumber) return undefined;
    const fileOffset = view.getBigUint64(at + DATA_DESCRIPTOR.fileOffset, true);
    if (signature === ZERO_SIGNATURE) {
      changes.push({ fileOffset, zeroLength: view.getBigUint64(at + ZERO_DESCRIPTOR.zeroLength, true) });
    } else if (signature === DATA_SIGNATURE && sectorAt + LOG_SECTOR <= bytes.length) {
      const data = decodeSector(view, at, sectorAt, header.sequenceNumber);
      if (data === undefined) return undefined;
      changes.push({ fileOffset, bytes: data });
      sectorAt += LOG_SECTOR;
    } else {
      return undefined;
    }
  }
  return sectorAt === bytes.length ? changes : undefined;
}

function decodeSector(
  view: DataView,
  descriptorAt: number,
  sectorAt: number,
  sequence: bigint,
): Uint8Array | undefined {
  const high = BigInt(view.getUint32(sectorAt + DATA_SECTOR.sequenceHigh, true));
  const low = BigInt(view.getUint32(sectorAt + DATA_SECTOR.sequenceLow, true));
  if (view.getUint32(sectorAt, true) !== SECTOR_SIGNATURE || high * 2n ** 32n + low !== sequence) return undefined;
  const bytes = new Uint8Array(view.buffer, view.byteOffset + sectorAt, LOG_SECTOR).slice();
  const part = (at: number, length: number): Uint8Array =>
    new Uint8Array(view.buffer, view.byteOffset + descriptorAt + at, length);
  bytes.set(part(DATA_DESCRIPTOR.leadingBytes, LEADING_BYTES), 0);
  bytes.set(part(DATA_DESCRIPTOR.trailingBytes, TRAILING_BYTES), LOG_SECTOR - TRAILING_BYTES);
  return bytes;
}

/** Bytes of an entry with so many sectors of data. */
export function entryLengthFor(sectors: number): number {
  return (descriptorSectors(sectors) + sectors) * LOG_SECTOR;
}

/** An entry that writes sectors, ready to go into the log. */
export function encodeEntry(
  header: Omit<LogEntryHeader, 'entryLength' | 'descriptorCount'>,
  sectors: readonly LoggedSector[],
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(entryLengthFor(sectors.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(LOG_ENTRY.signature, LOG_ENTRY_SIGNATURE, true);
  view.setUint32(LOG_ENTRY.entryLength, bytes.length, true);
  view.setUint32(LOG_ENTRY.tail, header.tail, true);
  view.setBigUint64(LOG_ENTRY.sequenceNumber, header.sequenceNumber, true);
  view.setUint32(LOG_ENTRY.descriptorCount, sectors.length, true);
  bytes.set(guidBytes(header.logGuid), LOG_ENTRY.logGuid);
  view.setBigUint64(LOG_ENTRY.flushedFileOffset, header.flushedFileOffset, true);
  view.setBigUint64(LOG_ENTRY.lastFileOffset, header.lastFileOffset, true);
  let sectorAt = descriptorSectors(sectors.length) * LOG_SECTOR;
  for (const [index, { fileOffset, bytes: data }] of sectors.entries()) {
    if (data.length !== LOG_SECTOR) throw new BlockError('internal', 'The log takes sectors of 4 KiB');
    const at = LOG_ENTRY_HEADER_LENGTH + index * DESCRIPTOR_LENGTH;
    view.setUint32(at, DATA_SIGNATURE, true);
    bytes.set(data.subarray(LOG_SECTOR - TRAILING_BYTES), at + DATA_DESCRIPTOR.trailingBytes);
    bytes.set(data.subarray(0, LEADING_BYTES), at + DATA_DESCRIPTOR.leadingBytes);
    view.setBigUint64(at + DATA_DESCRIPTOR.fileOffset, BigInt(fileOffset), true);
    view.setBigUint64(at + DATA_DESCRIPTOR.sequenceNumber, header.sequenceNumber, true);
    bytes.set(data, sectorAt);
    view.setUint32(sectorAt, SECTOR_SIGNATURE, true);
    view.setUint32(sectorAt + DATA_SECTOR.sequenceHigh, Number(header.sequenceNumber / 2n ** 32n), true);
    view.setUint32(sectorAt + DATA_SECTOR.sequenceLow, Number(header.sequenceNumber % 2n ** 32n), true);
    sectorAt += LOG_SECTOR;
  }
  seal(bytes, LOG_ENTRY.checksum);
  return bytes;
}

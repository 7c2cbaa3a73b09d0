/** The two headers: one of them is always whole, and the one with the higher sequence number counts. */
import { crc32c } from '../../../codec/crc32c.ts';
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { formatGuid, guidBytes, GUID_LENGTH } from '../shared/guid.ts';
import {
  HEADER,
  HEADER_LENGTH,
  HEADER_OFFSETS,
  HEADER_SECTION,
  HEADER_SIGNATURE,
  LOG_ALIGNMENT,
  LOG_VERSION,
  NO_GUID,
  VERSION,
} from './layout.ts';

export interface VhdxHeader {
  readonly sequenceNumber: bigint;
  /** Another one whenever the file was opened and changed. */
  readonly fileWriteGuid: string;
  /** Another one whenever what the guest sees was changed. */
  readonly dataWriteGuid: string;
  /** Of the entries that may have to be replayed; all zeroes: the log is empty. */
  readonly logGuid: string;
  readonly logLength: number;
  readonly logOffset: number;
}

/** The checksum of a structure that has room for it in itself, where zeroes count. */
export function checksum(bytes: Uint8Array, at: number): number {
  return crc32c(bytes.subarray(at + 4), crc32c(new Uint8Array(4), crc32c(bytes.subarray(0, at))));
}

/** Writes a structure's checksum into it. */
export function seal(bytes: Uint8Array, at: number): void {
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).setUint32(at, checksum(bytes, at), true);
}

/** @returns undefined when the signature or the checksum is wrong */
function decodeHeader(bytes: Uint8Array<ArrayBuffer>): VhdxHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(HEADER.signature, true) !== HEADER_SIGNATURE) return undefined;
  if (view.getUint32(HEADER.checksum, true) !== checksum(bytes, HEADER.checksum)) return undefined;
  if (view.getUint16(HEADER.version, true) !== VERSION) return undefined;
  const guid = (at: number): string => formatGuid(bytes.subarray(at, at + GUID_LENGTH));
  const logOffset = view.getBigUint64(HEADER.logOffset, true);
  return {
    sequenceNumber: view.getBigUint64(HEADER.sequenceNumber, true),
    fileWriteGuid: guid(HEADER.fileWriteGuid),
    dataWriteGuid: guid(HEADER.dataWriteGuid),
    logGuid: guid(HEADER.logGuid),
    logLength: view.getUint32(HEADER.logLength, true),
    logOffset: logOffset > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(logOffset),
  };
}

export function encodeHeader(header: VhdxHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(HEADER.signature, HEADER_SIGNATURE, true);
  view.setBigUint64(HEADER.sequenceNumber, header.sequenceNumber, true);
  bytes.set(guidBytes(header.fileWriteGuid), HEADER.fileWriteGuid);
  bytes.set(guidBytes(header.dataWriteGuid), HEADER.dataWriteGuid);
  bytes.set(guidBytes(header.logGuid), HEADER.logGuid);
  view.setUint16(HEADER.logVersion, LOG_VERSION, true);
  view.setUint16(HEADER.version, VERSION, true);
  view.setUint32(HEADER.logLength, header.logLength, true);
  view.setBigUint64(HEADER.logOffset, BigInt(header.logOffset), true);
  seal(bytes, HEADER.checksum);
  return bytes;
}

/** Both headers of an opened image. */
export class VhdxHeaders {
  readonly #file: BlockChild;
  #current: VhdxHeader;
  /** Which of the two it is. */
  #place: number;

  private constructor(file: BlockChild, current: VhdxHeader, place: number) {
    this.#file = file;
    this.#current = current;
    this.#place = place;
  }

  /**
   * Reads both and takes the one that counts.
   *
   * @throws BlockError `corrupt` when none is whole, or two that differ say that they are the newest; when the log is where none
   * can be; `unsupported` for a version of the log that is not known
   */
  static *load(file: BlockChild): Co<VhdxHeaders> {
    const bytes: Uint8Array<ArrayBuffer>[] = [];
    for (const offset of HEADER_OFFSETS) {
      const read = new Uint8Array(HEADER_LENGTH);
      yield* settle(file.read(offset, read));
      bytes.push(read);
    }
    const [first, second] = bytes.map((read) => decodeHeader(read));
    if (first === undefined && second === undefined) {
      throw new BlockError('corrupt', 'No valid VHDX header found: both are damaged, or of another version');
    }
    if (first?.sequenceNumber === second?.sequenceNumber && !sameBytes(bytes[0]!, bytes[1]!)) {
      throw new BlockError('corrupt', 'Both VHDX headers have the same sequence number, and they differ');
    }
    const takesFirst = second === undefined || (first !== undefined && first.sequenceNumber >= second.sequenceNumber);
    const current = (takesFirst ? first : second)!;
    const place = takesFirst ? 0 : 1;
    checkLog(current, new DataView(bytes[place]!.buffer).getUint16(HEADER.logVersion, true));
    return new VhdxHeaders(file, current, place);
  }

  get current(): VhdxHeader {
    return this.#current;
  }

  /**
   * Changes what the headers say, in both, one after the other: on stable storage when it returns. The one that does not count is
   * written first. If that fails, the old one still counts.
   */
  *update(change: Partial<Omit<VhdxHeader, 'sequenceNumber'>>): Co<void> {
    for (let time = 0; time < HEADER_OFFSETS.length; time++) {
      const next = { ...this.#current, ...change, sequenceNumber: this.#current.sequenceNumber + 1n };
      const place = 1 - this.#place;
      yield* settle(this.#file.write(HEADER_OFFSETS[place]!, encodeHeader(next)));
      yield* settle(this.#file.flush());
      this.#current = next;
      this.#place = place;
    }
  }
}

function checkLog({ logGuid, logLength, logOffset }: VhdxHeader, logVersion: number): void {
  if (logVersion !== LOG_VERSION && logGuid !== NO_GUID) {
    throw new BlockError('unsupported', `The log of the VHDX image has version ${logVersion}, which is not known`);
  }
  if (logLength % LOG_ALIGNMENT !== 0) {
    throw new BlockError('corrupt', `The log length ${logLength} of the VHDX header is not a multiple of 1 MiB`);
  }
  if (logLength > 0 && (logOffset < HEADER_SECTION || logOffset % LOG_ALIGNMENT !== 0)) {
    throw new BlockError(
      'corrupt',
      `The log offset ${logOffset} of the VHDX header is inside the headers, or not a multiple of 1 MiB`,
    );
  }
}

/** @throws BlockError `corrupt` when there is no log to write to */
export function checkLogForWriting({ logLength, logOffset }: VhdxHeader, fileLength: number): void {
  if (logLength >= LOG_ALIGNMENT && logOffset + logLength <= fileLength) return;
  throw new BlockError(
    'corrupt',
    `The image has no log to write to (${logLength} bytes at ${logOffset} of ${fileLength}): it can be opened read-only`,
  );
}

function sameBytes(one: Uint8Array, two: Uint8Array): boolean {
  return one.every((byte, index) => byte === two[index]);
}

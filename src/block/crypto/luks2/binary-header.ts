/** The two headers of a LUKS2 volume: each a block of binary fields, JSON behind it, and a checksum over both. */
import { digest, isHashName, type HashName } from '../../../codec/hashes.ts';
import { settle, type Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { textField } from '../luks/header.ts';
import type { LuksArea } from '../luks/key-slots.ts';
import {
  ALGORITHM_BYTES,
  BINARY_BYTES,
  CHECKSUM_BYTES,
  FIELD,
  HEADER_SIZES,
  LABEL_BYTES,
  MAGICS,
  SUBSYSTEM_BYTES,
  UUID_BYTES,
  VERSION,
  type HeaderName,
} from './layout.ts';
import { decodeMetadata, type Luks2Metadata } from './metadata.ts';

/** One header that is as it should be. */
export interface Luks2Header {
  /** Bytes, with its JSON. */
  readonly headerBytes: number;
  /** Each change of the header counts it up. */
  readonly sequence: number;
  readonly label: string;
  readonly subsystem: string;
  readonly uuid: string;
  readonly checksumAlgorithm: string;
  readonly metadata: Luks2Metadata;
}

export interface HeaderCopy {
  readonly name: HeaderName;
  /** Bytes from the start of the area; undefined: it was found nowhere. */
  readonly offset: number | undefined;
  readonly header: Luks2Header | undefined;
  /** Why it is not used, when it is broken. */
  readonly problem?: string;
}

export interface Luks2Headers {
  /** The newer one of those that are as they should be. */
  readonly used: Luks2Header;
  readonly copies: readonly [primary: HeaderCopy, secondary: HeaderCopy];
}

/**
 * Reads both headers.
 *
 * @throws BlockError `corrupt` when neither is as it should be, saying why
 */
export function* readHeaders(area: LuksArea): Co<Luks2Headers> {
  const primary = yield* readCopy(area, 'primary', 0);
  const secondary = yield* readSecondary(area, primary.header?.headerBytes);
  const found = [primary.header, secondary.header].filter((header) => header !== undefined);
  const [first, second] = found;
  if (first === undefined) {
    throw new BlockError(
      'corrupt',
      `Neither of the two LUKS2 headers can be used: ${primary.problem ?? ''}; ${secondary.problem ?? ''}`,
    );
  }
  const used = second !== undefined && second.sequence > first.sequence ? second : first;
  return { used, copies: [primary, secondary] };
}

/** @param expected where it is, if the first header says so; else it is looked for wherever it may be */
function* readSecondary(area: LuksArea, expected: number | undefined): Co<HeaderCopy> {
  if (expected !== undefined) return yield* readCopy(area, 'secondary', expected);
  let firstBroken: HeaderCopy | undefined;
  for (const offset of HEADER_SIZES) {
    if (offset + BINARY_BYTES > area.length) break;
    const magic = new Uint8Array(MAGICS.secondary.length);
    yield* settle(area.read(offset, magic));
    if (!MAGICS.secondary.every((byte, index) => magic[index] === byte)) continue;
    const copy = yield* readCopy(area, 'secondary', offset);
    if (copy.header !== undefined) return copy;
    firstBroken ??= copy;
  }
  return (
    firstBroken ?? { name: 'secondary', offset: undefined, header: undefined, problem: 'there is no secondary header' }
  );
}

/** Whether there is a second header, as there is where the first one was overwritten. */
export function* hasSecondHeader(area: LuksArea): Co<boolean> {
  return (yield* readSecondary(area, undefined)).header !== undefined;
}

/** Never `corrupt`: what is wrong with it is in the result. */
function* readCopy(area: LuksArea, name: HeaderName, offset: number): Co<HeaderCopy> {
  try {
    return { name, offset, header: yield* readHeader(area, name, offset) };
  } catch (error) {
    if (!(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
    return { name, offset, header: undefined, problem: `the ${name} header at ${offset} is broken (${error.message})` };
  }
}

function* readHeader(area: LuksArea, name: HeaderName, offset: number): Co<Luks2Header> {
  if (offset + BINARY_BYTES > area.length) throw broken(`it begins at ${offset} of ${area.length} bytes`);
  const binary = new Uint8Array(BINARY_BYTES);
  yield* settle(area.read(offset, binary));
  const headerBytes = checkBinary(binary, name, offset);
  if (offset + headerBytes > area.length) throw broken(`it has ${headerBytes} bytes at ${offset} of ${area.length}`);
  const bytes = new Uint8Array(headerBytes);
  yield* settle(area.read(offset, bytes));
  return decodeHeader(bytes);
}

/** @returns bytes of the whole header */
function checkBinary(binary: Uint8Array, name: HeaderName, offset: number): number {
  if (!MAGICS[name].every((byte, index) => binary[index] === byte)) throw broken('it does not begin as one does');
  const view = new DataView(binary.buffer, binary.byteOffset, binary.byteLength);
  const version = view.getUint16(FIELD.version);
  if (version !== VERSION) throw broken(`it says that its version is ${version}`);
  const headerBytes = Number(view.getBigUint64(FIELD.headerBytes));
  if (!HEADER_SIZES.includes(headerBytes)) throw broken(`hdr_size is ${headerBytes}`);
  const ownOffset = view.getBigUint64(FIELD.offset);
  const expected = name === 'primary' ? 0 : headerBytes;
  if (ownOffset !== BigInt(offset) || offset !== expected)
    throw broken(`hdr_offset is ${ownOffset} and not ${expected}`);
  return headerBytes;
}

/** @param bytes of the whole header, with a binary part that was checked */
function decodeHeader(bytes: Uint8Array): Luks2Header {
  const checksumAlgorithm = textField(bytes, FIELD.checksumAlgorithm, ALGORITHM_BYTES, 'csum_alg');
  checkChecksum(bytes, checksumAlgorithm);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sequence = Number(view.getBigUint64(FIELD.sequence));
  if (!Number.isSafeInteger(sequence)) throw broken(`seqid is ${sequence}`);
  return {
    headerBytes: bytes.length,
    sequence,
    label: textField(bytes, FIELD.label, LABEL_BYTES, 'label'),
    subsystem: textField(bytes, FIELD.subsystem, SUBSYSTEM_BYTES, 'subsystem'),
    uuid: textField(bytes, FIELD.uuid, UUID_BYTES, 'uuid'),
    checksumAlgorithm,
    metadata: decodeMetadata(jsonOf(bytes.subarray(BINARY_BYTES)), bytes.length),
  };
}

function checkChecksum(bytes: Uint8Array, algorithm: string): void {
  const name = algorithm.toLowerCase();
  if (!isHashName(name)) throw broken(`csum_alg is '${algorithm}', which is not known`);
  const sum = checksumOf(bytes, name);
  const stored = bytes.subarray(FIELD.checksum, FIELD.checksum + CHECKSUM_BYTES);
  if (!sum.every((byte, index) => stored[index] === byte)) throw broken('its checksum is not that of its content');
}

/** Over the whole header, in which the checksum itself is zero. */
export function checksumOf(bytes: Uint8Array, algorithm: HashName): Uint8Array {
  const end = FIELD.checksum + CHECKSUM_BYTES;
  return digest(algorithm, bytes.subarray(0, FIELD.checksum), new Uint8Array(CHECKSUM_BYTES), bytes.subarray(end));
}

function jsonOf(area: Uint8Array): unknown {
  const end = area.indexOf(0);
  if (end < 0) throw broken('its JSON does not end within its area');
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(area.subarray(0, end)));
  } catch (cause) {
    throw new BlockError('corrupt', 'its JSON cannot be read', {}, { cause });
  }
}

function broken(why: string): BlockError {
  return new BlockError('corrupt', why);
}

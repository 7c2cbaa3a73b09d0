/**
 * The area of header extensions behind the header: a list of typed, length-prefixed blocks up to an end marker. What is not
 * known is kept byte for byte.
 *
 * Source: qcow2 specification, "Header extensions" and "Feature name table".
 */
import { BlockError } from '../../error.ts';
import {
  EXTENSION,
  EXTENSION_HEADER_LENGTH,
  FEATURE_KINDS,
  FEATURE_NAMES,
  FEATURE_NAME_ENTRY_LENGTH,
  FEATURE_NAME_OFFSET,
  FEATURE_TABLE_MIN_ROOM,
  type FeatureKind,
  MAX_HEADER_EXTENSIONS,
} from './layout.ts';

export interface HeaderExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

/**
 * Reads the extensions between `start` and `end`.
 *
 * @param bytes the beginning of the file, perhaps not up to `end`
 * @returns the extensions without the end marker, or undefined when they go on past the bytes that are there
 * @throws BlockError `corrupt` when an extension reaches past `end`, when there are too many, or one type comes twice
 */
export function decodeExtensions(bytes: Uint8Array, start: number, end: number): HeaderExtension[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const extensions: HeaderExtension[] = [];
  const seen = new Set<number>();
  let offset = start;
  // Without an end marker the area ends where the space for it does.
  while (offset + EXTENSION_HEADER_LENGTH <= end) {
    if (offset + EXTENSION_HEADER_LENGTH > bytes.length) return undefined;
    const type = view.getUint32(offset);
    if (type === EXTENSION.end) return extensions;
    const length = view.getUint32(offset + 4);
    const dataOffset = offset + EXTENSION_HEADER_LENGTH;
    checkExtension(type, length, dataOffset, end, seen);
    if (dataOffset + length > bytes.length) return undefined;
    extensions.push({ type, data: bytes.slice(dataOffset, dataOffset + length) });
    offset = dataOffset + padded(length);
  }
  return extensions;
}

function checkExtension(type: number, length: number, dataOffset: number, end: number, seen: Set<number>): void {
  const name = `Header extension 0x${type.toString(16).padStart(8, '0')}`;
  if (length > end - dataOffset) {
    throw new BlockError(
      'corrupt',
      `${name} says that it has ${length} bytes; only ${end - dataOffset} are left for it in the header`,
      { offset: dataOffset },
    );
  }
  if (seen.has(type)) throw new BlockError('corrupt', `${name} is there twice`, { offset: dataOffset });
  if (seen.size >= MAX_HEADER_EXTENSIONS) {
    throw new BlockError('corrupt', `The header has more than ${MAX_HEADER_EXTENSIONS} extensions`, {
      offset: dataOffset,
    });
  }
  seen.add(type);
}

/** Bytes that the extensions and their end marker take. */
export function extensionsLength(extensions: readonly HeaderExtension[]): number {
  let length = EXTENSION_HEADER_LENGTH;
  for (const { data } of extensions) length += EXTENSION_HEADER_LENGTH + padded(data.length);
  return length;
}

/** Writes the extensions and their end marker into zeroed bytes. */
export function encodeExtensions(extensions: readonly HeaderExtension[], into: Uint8Array, start: number): void {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  let offset = start;
  for (const { type, data } of extensions) {
    view.setUint32(offset, type);
    view.setUint32(offset + 4, data.length);
    into.set(data, offset + EXTENSION_HEADER_LENGTH);
    offset += EXTENSION_HEADER_LENGTH + padded(data.length);
  }
}

export function findExtension(extensions: readonly HeaderExtension[], type: number): Uint8Array | undefined {
  return extensions.find((extension) => extension.type === type)?.data;
}

/** Where an extension's data is, in bytes from the start of the extensions; undefined: there is none. */
export function extensionOffset(extensions: readonly HeaderExtension[], type: number): number | undefined {
  let offset = EXTENSION_HEADER_LENGTH;
  for (const extension of extensions) {
    if (extension.type === type) return offset;
    offset += EXTENSION_HEADER_LENGTH + padded(extension.data.length);
  }
  return undefined;
}

/** The list with one extension replaced where it stands, added at `position`, or taken out (`data` undefined). */
export function withExtension(
  extensions: readonly HeaderExtension[],
  type: number,
  data: Uint8Array | undefined,
  position: 'first' | 'last',
): HeaderExtension[] {
  const index = extensions.findIndex((extension) => extension.type === type);
  if (data === undefined) return extensions.filter((extension) => extension.type !== type);
  if (index >= 0) return extensions.with(index, { type, data });
  return position === 'first' ? [{ type, data }, ...extensions] : [...extensions, { type, data }];
}

/**
 * The feature name table as QEMU writes it.
 *
 * @param room bytes of the header's cluster that are left for it and what follows
 * @returns undefined where QEMU writes none, because clusters are small
 */
export function featureNameTable(room: number): HeaderExtension | undefined {
  if (room < FEATURE_TABLE_MIN_ROOM) return undefined;
  const data = new Uint8Array(FEATURE_NAMES.length * FEATURE_NAME_ENTRY_LENGTH);
  for (const [index, { kind, bit, name }] of FEATURE_NAMES.entries()) {
    const offset = index * FEATURE_NAME_ENTRY_LENGTH;
    data[offset] = FEATURE_KINDS.indexOf(kind);
    data[offset + 1] = bit;
    data.set(new TextEncoder().encode(name), offset + FEATURE_NAME_OFFSET);
  }
  return { type: EXTENSION.featureNameTable, data };
}

/** The name that an image's own table gives a feature, or else its number. */
export function featureName(extensions: readonly HeaderExtension[], kind: FeatureKind, bit: number): string {
  const table = findExtension(extensions, EXTENSION.featureNameTable) ?? new Uint8Array(0);
  const wanted = FEATURE_KINDS.indexOf(kind);
  for (let at = 0; at + FEATURE_NAME_ENTRY_LENGTH <= table.length; at += FEATURE_NAME_ENTRY_LENGTH) {
    if (table[at] !== wanted || table[at + 1] !== bit) continue;
    const name = table.subarray(at + FEATURE_NAME_OFFSET, at + FEATURE_NAME_ENTRY_LENGTH);
    const end = name.indexOf(0);
    const text = printable(new TextDecoder().decode(end < 0 ? name : name.subarray(0, end)));
    if (text !== '') return `'${text}' (${kind} feature bit ${bit})`;
  }
  return `${kind} feature bit ${bit}`;
}

/** A name out of an image may hold anything: control characters do not belong into a message. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '');
}

/** An extension's data is followed by padding up to a multiple of 8. */
function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

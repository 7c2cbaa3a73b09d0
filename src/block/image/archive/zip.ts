/**
 * The directory of a zip file, read from its end, so that sizes are known before anything is unpacked.
 *
 * Source: PKWARE, ".ZIP File Format Specification" (APPNOTE.TXT), sections 4.3 to 4.5.
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';

export interface ZipEntry {
  readonly name: string;
  /** 0: stored as it is; 8: deflate. */
  readonly method: number;
  readonly encrypted: boolean;
  readonly crc: number;
  /** Bytes. */
  readonly packed: number;
  readonly size: number;
  /** Where its local header is. */
  readonly header: number;
}

export const METHOD_STORED = 0;
export const METHOD_DEFLATE = 8;

const END_MAGIC = 0x06054b50;
const END_LENGTH = 22;
const MAX_COMMENT = 65_535;
const END64_MAGIC = 0x06064b50;
const END64_LENGTH = 56;
const LOCATOR_MAGIC = 0x07064b50;
const LOCATOR_LENGTH = 20;
const ENTRY_MAGIC = 0x02014b50;
const ENTRY_LENGTH = 46;
const LOCAL_MAGIC = 0x04034b50;
const LOCAL_LENGTH = 30;
const EXTRA_ZIP64 = 1;
const IN_ZIP64 = 0xffffffff;
/** A directory of hundreds of thousands of files. Those are no disk images. */
const MAX_DIRECTORY_BYTES = 16 * 2 ** 20;

/** @returns the files, without folders. @throws BlockError `corrupt`, naming the field */
export function* readZipEntries(file: BlockChild): Co<readonly ZipEntry[]> {
  const { offset, length } = yield* findDirectory(file);
  if (length > MAX_DIRECTORY_BYTES || offset + length > file.length) {
    throw broken(`its directory has ${length} bytes at ${offset} of ${file.length}`);
  }
  const bytes = new Uint8Array(length);
  yield* settle(file.read(offset, bytes));
  const view = new DataView(bytes.buffer);
  const entries: ZipEntry[] = [];
  for (let at = 0; at < length;) {
    if (at + ENTRY_LENGTH > length || view.getUint32(at, true) !== ENTRY_MAGIC) {
      throw broken(`no entry of its directory begins at ${at} of ${length}`);
    }
    const next = at + ENTRY_LENGTH + [28, 30, 32].reduce((sum, field) => sum + view.getUint16(at + field, true), 0);
    if (next > length) throw broken(`an entry of its directory ends at ${next} of ${length}`);
    const entry = decodeEntry(bytes.subarray(at, next));
    if (!entry.name.endsWith('/')) entries.push(entry);
    at = next;
  }
  return entries;
}

function* findDirectory(file: BlockChild): Co<{ offset: number; length: number }> {
  const tail = new Uint8Array(Math.min(file.length, END_LENGTH + MAX_COMMENT));
  const base = file.length - tail.length;
  yield* settle(file.read(base, tail));
  const view = new DataView(tail.buffer);
  let at = tail.length - END_LENGTH;
  while (at >= 0 && view.getUint32(at, true) !== END_MAGIC) at--;
  if (at < 0) throw broken('it has no directory at its end: it was cut off');
  const length = view.getUint32(at + 12, true);
  const offset = view.getUint32(at + 16, true);
  if (length !== IN_ZIP64 && offset !== IN_ZIP64) return { offset, length };
  return yield* findDirectory64(file, base + at);
}

function* findDirectory64(file: BlockChild, end: number): Co<{ offset: number; length: number }> {
  const locator = yield* readStructure(file, end - LOCATOR_LENGTH, LOCATOR_LENGTH, LOCATOR_MAGIC, 'zip64 locator');
  const at = bounded(locator.getBigUint64(8, true), 'place of its zip64 record');
  const record = yield* readStructure(file, at, END64_LENGTH, END64_MAGIC, 'zip64 record');
  return {
    offset: bounded(record.getBigUint64(48, true), 'place of its directory'),
    length: bounded(record.getBigUint64(40, true), 'length of its directory'),
  };
}

function* readStructure(file: BlockChild, at: number, length: number, magic: number, what: string): Co<DataView> {
  const bytes = new Uint8Array(length);
  if (at < 0 || at + length > file.length) throw broken(`its ${what} is at ${at} of ${file.length}`);
  yield* settle(file.read(at, bytes));
  const view = new DataView(bytes.buffer);
  if (view.getUint32(0, true) !== magic) throw broken(`there is no ${what} at ${at}`);
  return view;
}

/** @param bytes one entry, whole */
function decodeEntry(bytes: Uint8Array): ZipEntry {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const nameLength = view.getUint16(28, true);
  const name = new TextDecoder().decode(bytes.subarray(ENTRY_LENGTH, ENTRY_LENGTH + nameLength));
  const sizes = { size: view.getUint32(24, true), packed: view.getUint32(20, true), header: view.getUint32(42, true) };
  const extra = ENTRY_LENGTH + nameLength;
  return {
    name,
    method: view.getUint16(10, true),
    encrypted: (view.getUint16(8, true) & 1) !== 0,
    crc: view.getUint32(16, true),
    ...wideSizes(view, extra, extra + view.getUint16(30, true), sizes),
  };
}

type Sizes = Pick<ZipEntry, 'size' | 'packed' | 'header'>;

/** What does not fit into 32 bits is in an extra field, in this order, as far as it is needed. */
function wideSizes(view: DataView, from: number, to: number, sizes: Sizes): Sizes {
  const wide = { ...sizes };
  const missing = (['size', 'packed', 'header'] as const).filter((name) => sizes[name] === IN_ZIP64);
  if (missing.length === 0) return wide;
  for (let at = from; at + 4 <= to; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== EXTRA_ZIP64) continue;
    const length = view.getUint16(at + 2, true);
    if (length < missing.length * 8 || at + 4 + length > to) break;
    for (const [index, name] of missing.entries()) {
      wide[name] = bounded(view.getBigUint64(at + 4 + index * 8, true), `${name} of an entry`);
    }
    return wide;
  }
  throw broken('an entry lacks its 64-bit sizes');
}

/** Where an entry's packed bytes begin. @throws BlockError `corrupt` when they are not in the file */
export function* packedOffset(file: BlockChild, entry: ZipEntry): Co<number> {
  const header = yield* readStructure(file, entry.header, LOCAL_LENGTH, LOCAL_MAGIC, `header of '${entry.name}'`);
  const offset = entry.header + LOCAL_LENGTH + header.getUint16(26, true) + header.getUint16(28, true);
  if (offset + entry.packed > file.length) {
    throw broken(`'${entry.name}' has ${entry.packed} bytes at ${offset}, and the file ends at ${file.length}`);
  }
  return offset;
}

function bounded(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw broken(`the ${what} is ${value}`);
  return Number(value);
}

function broken(why: string): BlockError {
  return new BlockError('corrupt', `The zip file is broken: ${why}`);
}

/**
 * The bitmaps extension and the bitmap directory as values: read, checked for what they say, and written.
 *
 * Source: qcow2 specification, "Bitmaps extension", "Bitmap directory".
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { findExtension } from './extensions.ts';
import { clusterSizeOf, diskSizeOf, type Qcow2Header } from './header.ts';
import {
  AUTOCLEAR_BITMAPS,
  BITMAP_ENTRY_LENGTH,
  BITMAP_EXTRA_DATA_COMPATIBLE,
  BITMAP_FIELD,
  BITMAP_IN_USE,
  BITMAP_KNOWN_FLAGS,
  BITMAP_TYPE_DIRTY,
  BITMAPS_EXTENSION_LENGTH,
  BITMAPS_FIELD,
  EXTENSION,
  MAX_BITMAP_BYTES,
  MAX_BITMAP_DIRECTORY_BYTES,
  MAX_BITMAP_GRANULARITY_BITS,
  MAX_BITMAP_NAME_BYTES,
  MAX_BITMAP_TABLE_ENTRIES,
  MAX_BITMAPS,
  MIN_BITMAP_GRANULARITY_BITS,
} from './layout.ts';

/** Where the directory is, and how many bitmaps it lists. Bytes. */
export interface DirectoryPlace {
  readonly count: number;
  readonly length: number;
  readonly offset: number;
}

/** What the directory says of a bitmap. */
export interface BitmapEntry {
  readonly name: string;
  /** The name as it stands there. */
  readonly nameBytes: Uint8Array;
  readonly tableOffset: number;
  /** Entries of its table. */
  readonly tableSize: number;
  readonly flags: number;
  readonly granularityBits: number;
  /** What this implementation does not know. */
  readonly extraData: Uint8Array;
}

/** What bitmaps depend on. Bytes. */
export interface ImageFacts {
  readonly clusterSize: number;
  readonly diskSize: number;
}

export function imageFacts(header: Qcow2Header): ImageFacts {
  return { clusterSize: clusterSizeOf(header), diskSize: diskSizeOf(header) };
}

/** Whether its bits may be used: they are right, and mean nothing that is not known here. */
export function isUsable({ flags, extraData }: BitmapEntry): boolean {
  if ((flags & BITMAP_IN_USE) !== 0) return false;
  return extraData.length === 0 || (flags & BITMAP_EXTRA_DATA_COMPATIBLE) !== 0;
}

/**
 * Where a header says the directory is.
 *
 * @returns undefined when the image has no bitmaps, or has some that a program which does not know them may have made untrue
 * @throws BlockError `corrupt` or `unsupported` when the extension contradicts the specification or is above its limits
 */
export function directoryPlace(header: Qcow2Header): DirectoryPlace | undefined {
  const data = findExtension(header.extensions, EXTENSION.bitmaps);
  if (data === undefined || (header.autoclearFeatures & AUTOCLEAR_BITMAPS) === 0n) return undefined;
  if (data.length !== BITMAPS_EXTENSION_LENGTH) throw broken(`Invalid extension length ${data.length}`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (view.getUint32(BITMAPS_FIELD.reserved) !== 0) throw broken('Reserved field is not zero');
  const count = view.getUint32(BITMAPS_FIELD.count);
  if (count > MAX_BITMAPS) {
    throw broken(`image has ${count} bitmaps, exceeding the supported maximum of ${MAX_BITMAPS}`);
  }
  if (count === 0) throw broken('found bitmaps extension with zero bitmaps');
  const offset = readOffset(view, BITMAPS_FIELD.directoryOffset);
  const length = readOffset(view, BITMAPS_FIELD.directorySize);
  if (offset === 0 || offset % clusterSizeOf(header) !== 0) throw broken(`invalid bitmap directory offset ${offset}`);
  if (length > MAX_BITMAP_DIRECTORY_BYTES) {
    throw broken(
      `bitmap directory size (${length}) exceeds the maximum supported size (${MAX_BITMAP_DIRECTORY_BYTES})`,
    );
  }
  return { count, offset, length };
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `bitmaps_ext: ${what}`);
}

/** The extension's data for a directory. */
export function encodeExtension({ count, offset, length }: DirectoryPlace): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(BITMAPS_EXTENSION_LENGTH);
  const view = new DataView(data.buffer);
  view.setUint32(BITMAPS_FIELD.count, count);
  writeOffset(view, BITMAPS_FIELD.directorySize, length);
  writeOffset(view, BITMAPS_FIELD.directoryOffset, offset);
  return data;
}

/** A bitmap as the directory lists it. */
export interface ListedBitmap {
  readonly entry: BitmapEntry;
  /** What is wrong with the entry, in QEMU's words. */
  readonly fault: BlockError | undefined;
}

/**
 * Reads the directory. What is wrong with one entry alone is said there.
 *
 * @throws BlockError `corrupt` for one whose entries cannot be told apart, with QEMU's words; `io`
 */
export function* listDirectory(file: BlockChild, image: ImageFacts, place: DirectoryPlace): Co<ListedBitmap[]> {
  if (place.length > file.length - place.offset) throw new BlockError('corrupt', 'Failed to read bitmap directory');
  const bytes = new Uint8Array(place.length);
  yield* settle(file.read(place.offset, bytes));
  const listed: ListedBitmap[] = [];
  const uses = new Map<string, number>();
  for (let at = 0; at < bytes.length;) {
    if (listed.length >= place.count) throw directoryError('More bitmaps found than specified in header extension');
    const { entry, type, end } = decodeEntry(bytes, at);
    listed.push({ entry, fault: faultOf(entry, type, image, file.length) });
    uses.set(entry.name, (uses.get(entry.name) ?? 0) + 1);
    at = end;
  }
  if (listed.length < place.count) throw directoryError('Less bitmaps found than specified in header extension');
  // Which of two is the right one nobody knows.
  return listed.map(({ entry, fault }) => {
    const isTwice = uses.get(entry.name)! > 1;
    return { entry, fault: fault ?? (isTwice ? directoryError(`Bitmap '${entry.name}' is there twice`) : undefined) };
  });
}

/**
 * Reads a directory that is to be right.
 *
 * @throws BlockError `corrupt` for one that is broken, with QEMU's words; `io`
 */
export function* readDirectory(file: BlockChild, image: ImageFacts, place: DirectoryPlace): Co<BitmapEntry[]> {
  const listed = yield* listDirectory(file, image, place);
  for (const { fault } of listed) if (fault !== undefined) throw fault;
  return listed.map(({ entry }) => entry);
}

function directoryError(what: string): BlockError {
  return new BlockError('corrupt', `Broken bitmap directory: ${what}. Check the image, or open it read-only`);
}

function decodeEntry(bytes: Uint8Array, at: number): { entry: BitmapEntry; type: number; end: number } {
  if (at + BITMAP_ENTRY_LENGTH > bytes.length) throw directoryError('an entry is cut off');
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, BITMAP_ENTRY_LENGTH);
  const nameStart = at + BITMAP_ENTRY_LENGTH + view.getUint32(BITMAP_FIELD.extraDataSize);
  const nameEnd = nameStart + view.getUint16(BITMAP_FIELD.nameSize);
  const end = padded(nameEnd);
  if (end > bytes.length) throw directoryError('an entry is cut off');
  const nameBytes = bytes.slice(nameStart, nameEnd);
  const name = new TextDecoder('utf-8', { ignoreBOM: true }).decode(nameBytes);
  const entry = {
    name,
    nameBytes,
    tableOffset: readOffset(view, BITMAP_FIELD.tableOffset),
    tableSize: view.getUint32(BITMAP_FIELD.tableSize),
    flags: view.getUint32(BITMAP_FIELD.flags),
    granularityBits: view.getUint8(BITMAP_FIELD.granularityBits),
    extraData: bytes.slice(at + BITMAP_ENTRY_LENGTH, nameStart),
  };
  return { entry, type: view.getUint8(BITMAP_FIELD.type), end };
}

function faultOf(entry: BitmapEntry, type: number, image: ImageFacts, fileLength: number): BlockError | undefined {
  const { name, nameBytes, tableOffset, tableSize, flags, granularityBits } = entry;
  const { clusterSize } = image;
  if (type !== BITMAP_TYPE_DIRTY) return unsatisfied(name, `its type ${type} is not known`);
  if (nameBytes.length === 0) return unsatisfied(name, 'it has no name');
  if (nameBytes.length > MAX_BITMAP_NAME_BYTES) return unsatisfied(name, 'its name is too long');
  if ((flags & ~BITMAP_KNOWN_FLAGS) !== 0) return unsatisfied(name, `it has unknown flags (0x${hex(flags)})`);
  if (granularityBits < MIN_BITMAP_GRANULARITY_BITS || granularityBits > MAX_BITMAP_GRANULARITY_BITS) {
    return unsatisfied(name, `its granularity of 2^${granularityBits} is not between 2^9 and 2^31`);
  }
  if (
    tableSize === 0 ||
    tableSize > MAX_BITMAP_TABLE_ENTRIES ||
    tableSize * clusterSize > MAX_BITMAP_BYTES + clusterSize
  ) {
    return unsatisfied(name, `its table has ${tableSize} entries`);
  }
  if (tableOffset === 0 || tableOffset % clusterSize !== 0 || tableOffset >= fileLength) {
    return unsatisfied(name, `its table cannot be at offset ${tableOffset}`);
  }
  // What is in use may be older than the disk's size.
  if ((flags & BITMAP_IN_USE) !== 0) return undefined;
  const needed = tableEntriesFor(image, granularityBits);
  if (tableSize === needed) return undefined;
  return new BlockError(
    'corrupt',
    `Bitmap table size ${tableSize} does not correspond to bitmap size and cluster size. Expected ${needed} (bitmap '${name}')`,
  );
}

/** How many entries the table of a bitmap has. */
function tableEntriesFor(image: ImageFacts, granularityBits: number): number {
  return Math.ceil(bitsLength(image, granularityBits) / image.clusterSize);
}

/** Bytes of the bits of a bitmap. */
export function bitsLength({ diskSize }: Pick<ImageFacts, 'diskSize'>, granularityBits: number): number {
  return Math.ceil(Math.ceil(diskSize / 2 ** granularityBits) / 8);
}

function unsatisfied(name: string, why: string): BlockError {
  return new BlockError('corrupt', `Bitmap '${name}' doesn't satisfy the constraints: ${why}`);
}

function hex(flags: number): string {
  return flags.toString(16);
}

/** Bytes of a directory of these entries. */
export function directoryLength(entries: readonly BitmapEntry[]): number {
  let length = 0;
  for (const entry of entries) length += entryLength(entry);
  return length;
}

/** Bytes of one entry, with its padding. */
export function entryLength({ nameBytes, extraData }: Pick<BitmapEntry, 'nameBytes' | 'extraData'>): number {
  return padded(BITMAP_ENTRY_LENGTH + extraData.length + nameBytes.length);
}

/** The bytes of a directory. */
export function encodeDirectory(entries: readonly BitmapEntry[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(directoryLength(entries));
  let at = 0;
  for (const entry of entries) {
    const { nameBytes: name } = entry;
    const view = new DataView(bytes.buffer, at);
    writeOffset(view, BITMAP_FIELD.tableOffset, entry.tableOffset);
    view.setUint32(BITMAP_FIELD.tableSize, entry.tableSize);
    view.setUint32(BITMAP_FIELD.flags, entry.flags);
    view.setUint8(BITMAP_FIELD.type, BITMAP_TYPE_DIRTY);
    view.setUint8(BITMAP_FIELD.granularityBits, entry.granularityBits);
    view.setUint16(BITMAP_FIELD.nameSize, name.length);
    view.setUint32(BITMAP_FIELD.extraDataSize, entry.extraData.length);
    bytes.set(entry.extraData, at + BITMAP_ENTRY_LENGTH);
    bytes.set(name, at + BITMAP_ENTRY_LENGTH + entry.extraData.length);
    at += entryLength(entry);
  }
  return bytes;
}

function readOffset(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

function writeOffset(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value % 2 ** 32);
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

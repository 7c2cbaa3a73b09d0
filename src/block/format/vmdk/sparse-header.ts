import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import {
  COMPRESSION_DEFLATE,
  COWD,
  COWD_ENTRIES_PER_TABLE,
  COWD_VERSION,
  DIRECTORY_AT_END,
  ENTRY_LENGTH,
  FLAG_MARKERS,
  FLAG_NEWLINES,
  FLAG_REDUNDANT_DIRECTORY,
  FLAG_ZEROED_GRAINS,
  FOOTER_SECTORS,
  MAGIC_COWD,
  MAGIC_SPARSE,
  MARKER,
  MARKER_END_OF_STREAM,
  MARKER_FOOTER,
  MAX_COMPRESSED_GRAIN,
  MAX_DESCRIPTOR_BYTES,
  MAX_DIRECTORY_ENTRIES,
  MAX_ENTRIES_PER_TABLE,
  MAX_GRAIN_SECTORS,
  MAX_VERSION,
  NEWLINES,
  SPARSE,
  SPARSE_HEADER_LENGTH,
} from './layout.ts';

/** What the header of a sparse extent says, whichever kind it is. Bytes, but for entries. */
export interface SparseHeader {
  readonly capacity: number;
  readonly grainSize: number;
  readonly entriesPerTable: number;
  /** Of the grain directory. */
  readonly entries: number;
  readonly directory: number;
  readonly redundantDirectory: number | undefined;
  readonly zeroedGrains: boolean;
  readonly compressed: boolean;
  /** Place and length stand in front of each compressed grain. */
  readonly markers: boolean;
  /** 0: there is no descriptor inside. */
  readonly descriptorOffset: number;
  readonly descriptorSize: number;
  /** Why it cannot be written here. */
  readonly readOnlyBecause: string | undefined;
}

export type SparseMagic = typeof MAGIC_SPARSE | typeof MAGIC_COWD;

export function magicOf(head: Uint8Array): SparseMagic | undefined {
  const magic = String.fromCharCode(...head.subarray(0, 4));
  return magic === MAGIC_SPARSE || magic === MAGIC_COWD ? magic : undefined;
}

/**
 * Reads and checks the header of a sparse extent.
 *
 * @throws BlockError `corrupt` for a field that cannot be, `unsupported` for versions and sizes that are not read
 */
export function* readSparseHeader(file: BlockChild): Co<SparseHeader> {
  const bytes = new Uint8Array(SPARSE_HEADER_LENGTH);
  yield* settle(file.read(0, bytes));
  const magic = magicOf(bytes);
  if (magic === undefined) throw broken('does not begin as a sparse extent does, with KDMV or COWD');
  const view = new DataView(bytes.buffer);
  if (magic === MAGIC_COWD) return checked(decodeCowd(view), file.length);
  if (view.getBigUint64(SPARSE.directory, true) !== DIRECTORY_AT_END) return checked(decodeSparse(view), file.length);
  const footer = decodeSparse(yield* readFooter(file));
  const readOnlyBecause = 'its grain directory is at the end of the file';
  return checked({ ...footer, readOnlyBecause }, file.length);
}

/** The header once more, with the place of the directory in it. */
function* readFooter(file: BlockChild): Co<DataView> {
  const length = FOOTER_SECTORS * SECTOR_SIZE;
  if (file.length < length + SPARSE_HEADER_LENGTH)
    throw broken('says that a footer follows, and the file is too short');
  const bytes = new Uint8Array(length);
  yield* settle(file.read(file.length - length, bytes));
  const view = new DataView(bytes.buffer);
  const markerAt = (at: number): number | undefined =>
    view.getUint32(at + MARKER.size, true) === 0 ? view.getUint32(at + MARKER.type, true) : undefined;
  const footer = new DataView(bytes.buffer, SECTOR_SIZE, SPARSE_HEADER_LENGTH);
  const isFooter = magicOf(bytes.subarray(SECTOR_SIZE)) === MAGIC_SPARSE && markerAt(0) === MARKER_FOOTER;
  if (!isFooter || markerAt(2 * SECTOR_SIZE) !== MARKER_END_OF_STREAM) {
    throw broken('says that a footer is at the end of the file, and there is none: it was cut off');
  }
  if (footer.getBigUint64(SPARSE.directory, true) === DIRECTORY_AT_END) {
    throw broken('is the same at the end of the file: no place of the grain directory is given');
  }
  return footer;
}

function decodeSparse(view: DataView): SparseHeader {
  const version = view.getUint32(SPARSE.version, true);
  if (version < 1 || version > MAX_VERSION) {
    throw new BlockError('unsupported', `Unsupported VMDK version ${version}: versions 1 to ${MAX_VERSION} are read`);
  }
  const flags = view.getUint32(SPARSE.flags, true);
  checkNewlines(view, flags);
  const compression = view.getUint16(SPARSE.compression, true);
  if (compression > COMPRESSION_DEFLATE) {
    throw new BlockError('unsupported', `The compression method ${compression} is not known`);
  }
  const grainSectors = sectorsAt(view, SPARSE.grainSize, 'grainSize');
  const capacity = sectorsAt(view, SPARSE.capacity, 'capacity');
  const entriesPerTable = view.getUint32(SPARSE.entriesPerTable, true);
  if (entriesPerTable > MAX_ENTRIES_PER_TABLE) {
    throw broken(`has numGTEsPerGT ${entriesPerTable}: grain tables have ${MAX_ENTRIES_PER_TABLE} entries at most`);
  }
  const hasRedundant = hasFlag(flags, FLAG_REDUNDANT_DIRECTORY);
  const compressed = compression === COMPRESSION_DEFLATE;
  return {
    ...shape(capacity, grainSectors, entriesPerTable),
    directory: sectorsAt(view, SPARSE.directory, 'gdOffset') * SECTOR_SIZE,
    redundantDirectory: hasRedundant
      ? sectorsAt(view, SPARSE.redundantDirectory, 'rgdOffset') * SECTOR_SIZE
      : undefined,
    zeroedGrains: hasFlag(flags, FLAG_ZEROED_GRAINS),
    compressed,
    markers: hasFlag(flags, FLAG_MARKERS),
    descriptorOffset: sectorsAt(view, SPARSE.descriptorOffset, 'descriptorOffset') * SECTOR_SIZE,
    descriptorSize: sectorsAt(view, SPARSE.descriptorSize, 'descriptorSize') * SECTOR_SIZE,
    readOnlyBecause:
      version === 3 && !compressed ? 'an image of version 3 may keep track of changed blocks' : undefined,
  };
}

function checkNewlines(view: DataView, flags: number): void {
  if (!hasFlag(flags, FLAG_NEWLINES)) return;
  const kept = NEWLINES.every((byte, index) => view.getUint8(SPARSE.newlines + index) === byte);
  if (!kept) throw broken('shows that the file was transferred as text, which has destroyed it');
}

function decodeCowd(view: DataView): SparseHeader {
  const version = view.getUint32(COWD.version, true);
  if (version !== COWD_VERSION) throw new BlockError('unsupported', `COWD version ${version} is not known`);
  const capacity = view.getUint32(COWD.sectors, true);
  const grainSectors = view.getUint32(COWD.grainSize, true);
  const described = shape(capacity, grainSectors, COWD_ENTRIES_PER_TABLE);
  const entries = view.getUint32(COWD.directoryEntries, true);
  if (entries < described.entries) {
    throw broken(`has a grain directory of ${entries} entries, and ${described.entries} are needed for its sectors`);
  }
  return {
    ...described,
    directory: view.getUint32(COWD.directory, true) * SECTOR_SIZE,
    redundantDirectory: undefined,
    zeroedGrains: false,
    compressed: false,
    markers: false,
    descriptorOffset: 0,
    descriptorSize: 0,
    readOnlyBecause: 'COWD extents of old ESX servers are only read',
  };
}

/** Sizes in bytes, and the entries that the grain directory must have for them. */
function shape(
  capacity: number,
  grainSectors: number,
  entriesPerTable: number,
): Pick<SparseHeader, 'capacity' | 'grainSize' | 'entriesPerTable' | 'entries'> {
  if (!isPowerOfTwo(grainSectors) || grainSectors > MAX_GRAIN_SECTORS) {
    throw broken(`has grains of ${grainSectors} sectors, which is no power of two up to ${MAX_GRAIN_SECTORS}`);
  }
  if (!isPowerOfTwo(entriesPerTable)) {
    throw broken(`has grain tables of ${entriesPerTable} entries, which is no power of two`);
  }
  const grainSize = grainSectors * SECTOR_SIZE;
  return {
    capacity: capacity * SECTOR_SIZE,
    grainSize,
    entriesPerTable,
    entries: Math.ceil((capacity * SECTOR_SIZE) / (grainSize * entriesPerTable)),
  };
}

function checked(header: SparseHeader, fileLength: number): SparseHeader {
  const { entries, directory, compressed, grainSize, descriptorOffset, descriptorSize } = header;
  if (entries > MAX_DIRECTORY_ENTRIES) {
    const message = `The grain directory has ${entries} entries; no more than ${MAX_DIRECTORY_ENTRIES} are read`;
    throw new BlockError('unsupported', message);
  }
  if (compressed && grainSize > MAX_COMPRESSED_GRAIN) {
    throw new BlockError('unsupported', `Compressed grains of ${grainSize} bytes are too large to be read`);
  }
  // A descriptor alone may stand in such a file: its extents are elsewhere then.
  if (header.capacity > 0 && !isDirectoryPlace(header, directory, fileLength)) {
    const { redundantDirectory } = header;
    if (redundantDirectory === undefined || !isDirectoryPlace(header, redundantDirectory, fileLength)) {
      throw broken(`has its grain directory at ${directory}, where it cannot be in a file of ${fileLength} bytes`);
    }
  }
  if (descriptorOffset !== 0 && (descriptorSize === 0 || descriptorSize > MAX_DESCRIPTOR_BYTES)) {
    throw broken(`has a descriptor of ${descriptorSize} bytes; it must be from 1 to ${MAX_DESCRIPTOR_BYTES}`);
  }
  if (descriptorOffset + descriptorSize > fileLength) throw broken('has its descriptor behind the end of the file');
  return header;
}

/** Whether a whole grain directory can be at an offset. */
export function isDirectoryPlace({ entries }: SparseHeader, offset: number, fileLength: number): boolean {
  return offset >= SECTOR_SIZE && offset + entries * ENTRY_LENGTH <= fileLength;
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

function hasFlag(flags: number, flag: number): boolean {
  return Math.floor(flags / flag) % 2 === 1;
}

/** A number of sectors of 64 bits, whose bytes must stay below 2^53. */
function sectorsAt(view: DataView, at: number, name: string): number {
  const value = view.getBigUint64(at, true);
  if (value * BigInt(SECTOR_SIZE) > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw broken(`has ${name} ${value}, which is beyond 2^53 bytes`);
  }
  return Number(value);
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `The header of the sparse extent ${what}`);
}

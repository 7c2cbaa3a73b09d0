/**
 * The header of a qcow2 file as a value: read, checked for what it says about itself, and written. What this implementation
 * supports of it is decided in `features.ts`.
 *
 * Source: qcow2 specification, "Header".
 */
import type { Co } from '../../co.ts';
import { settle } from '../../co.ts';
import type { CompressionMethod } from '../../compression.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import {
  decodeExtensions,
  encodeExtensions,
  extensionsLength,
  findExtension,
  type HeaderExtension,
} from './extensions.ts';
import {
  COMPRESSION_ZSTD,
  DEFAULT_REFCOUNT_ORDER,
  ENTRY_LENGTH,
  EXTENDED_ENTRY_LENGTH,
  EXTENSION,
  FIELD,
  HEADER_LENGTH_V2,
  HEADER_LENGTH_V3,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_EXTENDED_L2,
  MAGIC,
  MAX_BACKING_FILE_BYTES,
  MAX_BACKING_FORMAT_BYTES,
  MAX_BACKING_IDENTITY_BYTES,
  MAX_CLUSTER_BITS,
  MAX_DATA_FILE_BYTES,
  MAX_L1_BYTES,
  MAX_REFCOUNT_ORDER,
  MAX_REFCOUNT_TABLE_BYTES,
  MIN_CLUSTER_BITS,
  MIN_EXTENDED_CLUSTER_BITS,
} from './layout.ts';

export interface Qcow2Header {
  readonly version: 2 | 3;
  /** Where the backing file's name stands in the file, 0 without one. `encodeHeader` chooses it anew. */
  readonly backingFileOffset: number;
  /** As the header holds it, without a terminating zero; undefined: no backing file. */
  readonly backingFileName: Uint8Array | undefined;
  readonly clusterBits: number;
  /** Bytes, as it stands in the header. */
  readonly size: number;
  readonly cryptMethod: number;
  /** Entries. */
  readonly l1Size: number;
  readonly l1TableOffset: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  readonly nbSnapshots: number;
  readonly snapshotsOffset: number;
  readonly incompatibleFeatures: bigint;
  readonly compatibleFeatures: bigint;
  readonly autoclearFeatures: bigint;
  readonly refcountOrder: number;
  readonly headerLength: number;
  /** The bytes of the header from 104 on: the compression type, and what this implementation does not know. */
  readonly additionalFields: Uint8Array;
  readonly extensions: readonly HeaderExtension[];
}

/** What many places derive from a header. */
export function clusterSizeOf(header: Qcow2Header): number {
  return 2 ** header.clusterBits;
}

/** Bytes of an entry in the L2 tables. */
export function l2EntryLengthOf(header: Qcow2Header): number {
  return (header.incompatibleFeatures & INCOMPATIBLE_EXTENDED_L2) === 0n ? ENTRY_LENGTH : EXTENDED_ENTRY_LENGTH;
}

/** A disk has whole sectors only. */
export function wholeSectors(size: number): number {
  return size - (size % SECTOR_SIZE);
}

/** Bytes of the disk. */
export function diskSizeOf({ size }: Qcow2Header): number {
  return wholeSectors(size);
}

/** 0 is zlib (raw deflate), 1 is zstd. */
export function compressionTypeOf(header: Qcow2Header): number {
  return header.additionalFields[0] ?? 0;
}

export function compressionMethodOf(header: Qcow2Header): CompressionMethod {
  return compressionTypeOf(header) === COMPRESSION_ZSTD ? 'zstd' : 'deflate';
}

/** The backing file's name, or undefined. */
export function backingFileOf(header: Qcow2Header): string | undefined {
  return header.backingFileName === undefined ? undefined : new TextDecoder().decode(header.backingFileName);
}

/** Whether guest clusters are in another file. */
export function hasDataFile(header: Qcow2Header): boolean {
  return (header.incompatibleFeatures & INCOMPATIBLE_DATA_FILE) !== 0n;
}

/** The external data file's name, or undefined. */
export function dataFileOf(header: Qcow2Header): string | undefined {
  const data = findExtension(header.extensions, EXTENSION.dataFile);
  return data === undefined || data.length === 0 ? undefined : new TextDecoder().decode(data);
}

/** The format that the header says the backing file has, or undefined. */
export function backingFormatOf(header: Qcow2Header): string | undefined {
  const data = findExtension(header.extensions, EXTENSION.backingFormat);
  return data === undefined || data.length === 0 ? undefined : new TextDecoder().decode(data);
}

/** What the image remembers of its base, or undefined. */
export function backingIdentityOf(header: Qcow2Header): string | undefined {
  const data = findExtension(header.extensions, EXTENSION.backingIdentity);
  return data === undefined ? undefined : new TextDecoder().decode(data);
}

// ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Read at first: enough for every header that programs write, and one request to any storage. */
const FIRST_READ_BYTES = 4096;

/**
 * Reads and decodes the header of a file.
 *
 * @throws BlockError `corrupt` or `unsupported` as `decodeHeader` does, `io` when the storage fails
 */
export function* readHeader(file: BlockChild): Co<Qcow2Header> {
  const first = new Uint8Array(Math.min(FIRST_READ_BYTES, file.length));
  yield* settle(file.read(0, first));
  const header = decodeHeader(first, file.length);
  if (header !== undefined) return header;
  const cluster = new Uint8Array(Math.min(2 ** MAX_CLUSTER_BITS, file.length));
  yield* settle(file.read(0, cluster));
  const whole = decodeHeader(cluster, file.length);
  if (whole === undefined) throw new BlockError('corrupt', 'The header extensions go on past the end of the file');
  return whole;
}

/**
 * Decodes a header and checks everything that it says about itself.
 *
 * @param bytes the beginning of the file, 72 bytes at least if it has them
 * @param fileLength bytes of the whole file
 * @returns undefined when the header goes on past the bytes that are there
 * @throws BlockError `corrupt` (a field contradicts the specification; the message names it), `unsupported` (a version or a
 *   size that this implementation cannot handle)
 */
export function decodeHeader(bytes: Uint8Array, fileLength: number): Qcow2Header | undefined {
  if (bytes.length < HEADER_LENGTH_V2) {
    throw new BlockError('corrupt', `A qcow2 file has at least ${HEADER_LENGTH_V2} bytes, this one ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = decodeVersion(view);
  const headerLength = decodeHeaderLength(view, version);
  if (headerLength > bytes.length) return undefined;
  const fixed = decodeFields(view, version, headerLength, bytes);
  checkFields(fixed);
  checkTables(fixed, fileLength);
  const clusterSize = 2 ** fixed.clusterBits;
  const { backingFileOffset } = fixed;
  const end =
    backingFileOffset === 0 ? clusterSize : checkBackingFile(view, backingFileOffset, headerLength, clusterSize);
  const extensions = decodeExtensions(bytes, headerLength, end);
  if (extensions === undefined) return undefined;
  checkExtensions(extensions);
  const nameLength = backingFileOffset === 0 ? 0 : view.getUint32(FIELD.backingFileSize);
  if (nameLength === 0) return { ...fixed, extensions };
  const nameEnd = backingFileOffset + nameLength;
  if (nameEnd > bytes.length) return undefined;
  return { ...fixed, extensions, backingFileName: bytes.slice(backingFileOffset, nameEnd) };
}

function decodeVersion(view: DataView): 2 | 3 {
  if (view.getUint32(FIELD.magic) !== MAGIC) {
    throw new BlockError('corrupt', "This is no qcow2 file: it does not begin with 'QFI' and 0xfb");
  }
  const version = view.getUint32(FIELD.version);
  if (version !== 2 && version !== 3) {
    throw new BlockError('unsupported', `qcow2 version ${version} is not supported; versions 2 and 3 are`);
  }
  return version;
}

function decodeHeaderLength(view: DataView, version: 2 | 3): number {
  if (version === 2) return HEADER_LENGTH_V2;
  if (view.byteLength < HEADER_LENGTH_V3) {
    throw new BlockError('corrupt', `A qcow2 header of version 3 has at least ${HEADER_LENGTH_V3} bytes`);
  }
  const clusterBits = decodeClusterBits(view);
  const headerLength = view.getUint32(FIELD.headerLength);
  if (headerLength < HEADER_LENGTH_V3 || headerLength % 8 !== 0 || headerLength > 2 ** clusterBits) {
    throw wrong(
      'header_length',
      headerLength,
      `a multiple of 8 between ${HEADER_LENGTH_V3} and the cluster size of ${2 ** clusterBits} bytes`,
    );
  }
  return headerLength;
}

function decodeClusterBits(view: DataView): number {
  const clusterBits = view.getUint32(FIELD.clusterBits);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    throw wrong(
      'cluster_bits',
      clusterBits,
      `between ${MIN_CLUSTER_BITS} and ${MAX_CLUSTER_BITS} (512 bytes to 2 MiB)`,
    );
  }
  return clusterBits;
}

function decodeFields(view: DataView, version: 2 | 3, headerLength: number, bytes: Uint8Array): Qcow2Header {
  return {
    version,
    backingFileOffset: readUint64(view, FIELD.backingFileOffset, 'backing_file_offset'),
    backingFileName: undefined,
    clusterBits: decodeClusterBits(view),
    size: readUint64(view, FIELD.size, 'size'),
    cryptMethod: view.getUint32(FIELD.cryptMethod),
    l1Size: view.getUint32(FIELD.l1Size),
    l1TableOffset: readUint64(view, FIELD.l1TableOffset, 'l1_table_offset'),
    refcountTableOffset: readUint64(view, FIELD.refcountTableOffset, 'refcount_table_offset'),
    refcountTableClusters: view.getUint32(FIELD.refcountTableClusters),
    nbSnapshots: view.getUint32(FIELD.nbSnapshots),
    snapshotsOffset: readUint64(view, FIELD.snapshotsOffset, 'snapshots_offset'),
    incompatibleFeatures: version === 2 ? 0n : view.getBigUint64(FIELD.incompatibleFeatures),
    compatibleFeatures: version === 2 ? 0n : view.getBigUint64(FIELD.compatibleFeatures),
    autoclearFeatures: version === 2 ? 0n : view.getBigUint64(FIELD.autoclearFeatures),
    refcountOrder: version === 2 ? DEFAULT_REFCOUNT_ORDER : view.getUint32(FIELD.refcountOrder),
    headerLength,
    additionalFields: version === 2 ? new Uint8Array(0) : bytes.slice(HEADER_LENGTH_V3, headerLength),
    extensions: [],
  };
}

function checkFields(header: Qcow2Header): void {
  if (header.refcountOrder > MAX_REFCOUNT_ORDER) {
    throw wrong('refcount_order', header.refcountOrder, `at most ${MAX_REFCOUNT_ORDER} (64 bits)`);
  }
  if (header.l1Size * ENTRY_LENGTH > MAX_L1_BYTES) {
    throw wrong('l1_size', header.l1Size, `at most ${MAX_L1_BYTES / ENTRY_LENGTH} (a table of 32 MiB)`);
  }
  const clusterSize = clusterSizeOf(header);
  if (header.refcountTableClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
    throw wrong(
      'refcount_table_clusters',
      header.refcountTableClusters,
      `at most ${MAX_REFCOUNT_TABLE_BYTES / clusterSize} with clusters of ${clusterSize} bytes (a table of 8 MiB)`,
    );
  }
  const entryLength = l2EntryLengthOf(header);
  if (entryLength === EXTENDED_ENTRY_LENGTH && header.clusterBits < MIN_EXTENDED_CLUSTER_BITS) {
    throw wrong(
      'cluster_bits',
      header.clusterBits,
      `at least ${MIN_EXTENDED_CLUSTER_BITS} (16 KiB) in an image with extended L2 entries`,
    );
  }
  const needed = Math.ceil(header.size / (clusterSize * (clusterSize / entryLength)));
  if (header.l1Size < needed) {
    throw wrong(
      'l1_size',
      header.l1Size,
      `at least ${needed} for a disk of ${header.size} bytes: the L1 table is too small`,
    );
  }
}

function checkTables(header: Qcow2Header, fileLength: number): void {
  const clusterSize = clusterSizeOf(header);
  const place = (name: string, offset: number): void => {
    if (offset % clusterSize !== 0) throw wrong(name, offset, `a multiple of the cluster size of ${clusterSize}`);
    if (offset === 0) throw wrong(name, offset, 'behind the header');
    if (offset >= fileLength)
      throw wrong(name, offset, `inside the file, which has ${fileLength} bytes: it was cut off`);
  };
  if (header.l1Size > 0) place('l1_table_offset', header.l1TableOffset);
  if (header.refcountTableClusters > 0) place('refcount_table_offset', header.refcountTableOffset);
  if (header.nbSnapshots > 0) place('snapshots_offset', header.snapshotsOffset);
}

function checkBackingFile(view: DataView, offset: number, headerLength: number, clusterSize: number): number {
  const length = view.getUint32(FIELD.backingFileSize);
  if (offset < headerLength || offset > clusterSize) {
    throw wrong('backing_file_offset', offset, `between the header of ${headerLength} bytes and the cluster size`);
  }
  const limit = Math.min(MAX_BACKING_FILE_BYTES, clusterSize - offset);
  if (length > limit) throw wrong('backing_file_size', length, `at most ${limit}: the backing file name is too long`);
  return offset;
}

function checkExtensions(extensions: readonly HeaderExtension[]): void {
  checkLength(extensions, EXTENSION.backingFormat, 'backing file format name', MAX_BACKING_FORMAT_BYTES);
  checkLength(extensions, EXTENSION.dataFile, 'name of the external data file', MAX_DATA_FILE_BYTES);
  checkLength(extensions, EXTENSION.backingIdentity, 'identity of the backing file', MAX_BACKING_IDENTITY_BYTES);
}

function checkLength(extensions: readonly HeaderExtension[], type: number, name: string, limit: number): void {
  const length = findExtension(extensions, type)?.length ?? 0;
  if (length > limit)
    throw new BlockError('corrupt', `The ${name} in the header has ${length} bytes; the limit is ${limit}`);
}

function readUint64(view: DataView, offset: number, name: string): number {
  const value = view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
  if (value <= Number.MAX_SAFE_INTEGER) return value;
  throw new BlockError('unsupported', `Header field '${name}' is 2^53 or more; such files are not supported`, {
    offset,
  });
}

function wrong(field: string, value: number, wanted: string): BlockError {
  return new BlockError('corrupt', `Header field '${field}' is ${value}; it must be ${wanted}`);
}

// ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Encodes the fields of a header up to `headerLength`, without extensions. All that this implementation ever changes of them
 * lies in the first sector, so that one write changes it together.
 */
export function encodeFields(header: Qcow2Header): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(header.headerLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(FIELD.magic, MAGIC);
  view.setUint32(FIELD.version, header.version);
  writeUint64(view, FIELD.backingFileOffset, header.backingFileOffset);
  view.setUint32(FIELD.backingFileSize, header.backingFileName?.length ?? 0);
  view.setUint32(FIELD.clusterBits, header.clusterBits);
  writeUint64(view, FIELD.size, header.size);
  view.setUint32(FIELD.cryptMethod, header.cryptMethod);
  view.setUint32(FIELD.l1Size, header.l1Size);
  writeUint64(view, FIELD.l1TableOffset, header.l1TableOffset);
  writeUint64(view, FIELD.refcountTableOffset, header.refcountTableOffset);
  view.setUint32(FIELD.refcountTableClusters, header.refcountTableClusters);
  view.setUint32(FIELD.nbSnapshots, header.nbSnapshots);
  writeUint64(view, FIELD.snapshotsOffset, header.snapshotsOffset);
  if (header.version === 2) return bytes;
  view.setBigUint64(FIELD.incompatibleFeatures, header.incompatibleFeatures);
  view.setBigUint64(FIELD.compatibleFeatures, header.compatibleFeatures);
  view.setBigUint64(FIELD.autoclearFeatures, header.autoclearFeatures);
  view.setUint32(FIELD.refcountOrder, header.refcountOrder);
  view.setUint32(FIELD.headerLength, header.headerLength);
  bytes.set(header.additionalFields, HEADER_LENGTH_V3);
  return bytes;
}

/**
 * Gives a header's backing file name its place: right behind the extensions, or further behind.
 *
 * @param from the name shall not stand before this offset
 * @returns the header with `backingFileOffset` set
 * @throws BlockError `invalid` when header, extensions and name do not fit into a cluster
 */
export function placeBackingFile(header: Qcow2Header, from = 0): Qcow2Header {
  const extensionsEnd = header.headerLength + extensionsLength(header.extensions);
  const nameStart = Math.max(extensionsEnd, from);
  const nameLength = header.backingFileName?.length ?? 0;
  const length = nameLength === 0 ? extensionsEnd : nameStart + nameLength;
  const clusterSize = clusterSizeOf(header);
  if (length > clusterSize) {
    throw new BlockError(
      'invalid',
      `The header with its extensions and the backing file's name takes ${length} bytes; a cluster has ${clusterSize}. ` +
        'Use a shorter name or larger clusters',
    );
  }
  return { ...header, backingFileOffset: nameLength === 0 ? 0 : nameStart };
}

/**
 * Encodes a whole header: fields, extensions, and the backing file's name.
 *
 * @param header as `placeBackingFile` returns it
 * @returns the bytes for the beginning of the file
 */
export function encodeHeader(header: Qcow2Header): Uint8Array<ArrayBuffer> {
  const extensionsEnd = header.headerLength + extensionsLength(header.extensions);
  const { backingFileName, backingFileOffset } = header;
  const bytes = new Uint8Array(Math.max(extensionsEnd, backingFileOffset + (backingFileName?.length ?? 0)));
  bytes.set(encodeFields(header));
  encodeExtensions(header.extensions, bytes, header.headerLength);
  if (backingFileName !== undefined) bytes.set(backingFileName, backingFileOffset);
  return bytes;
}

function writeUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / 2 ** 32));
  view.setUint32(offset + 4, value % 2 ** 32);
}

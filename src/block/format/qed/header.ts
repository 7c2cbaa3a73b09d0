import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import {
  ENTRY_LENGTH,
  FEATURE_BACKING_FILE,
  FEATURE_BACKING_FORMAT_NO_PROBE,
  FIELD,
  HEADER_LENGTH,
  KNOWN_FEATURES,
  MAGIC,
  MAX_BACKING_FILENAME,
  MAX_CLUSTER_SIZE,
  MAX_TABLE_SIZE,
  MIN_CLUSTER_SIZE,
  MIN_TABLE_SIZE,
} from './layout.ts';

export interface QedHeader {
  /** Bytes. */
  readonly clusterSize: number;
  /** Clusters. */
  readonly tableSize: number;
  /** Clusters. */
  readonly headerSize: number;
  readonly features: bigint;
  readonly compatFeatures: bigint;
  readonly autoclearFeatures: bigint;
  readonly l1TableOffset: number;
  /** Bytes of the disk. */
  readonly imageSize: number;
  readonly backingFilename: string | undefined;
}

/** Entries of an L1 or L2 table. */
export function tableEntries({ clusterSize, tableSize }: Pick<QedHeader, 'clusterSize' | 'tableSize'>): number {
  return (clusterSize * tableSize) / ENTRY_LENGTH;
}

/** Bytes of the largest disk that tables of this shape can describe; never above 2^53. */
export function maxImageSize(shape: Pick<QedHeader, 'clusterSize' | 'tableSize'>): number {
  return Math.min(tableEntries(shape) ** 2 * shape.clusterSize, Number.MAX_SAFE_INTEGER);
}

/** Bytes of the disk that one L2 table describes. */
export function tableSpan(shape: Pick<QedHeader, 'clusterSize' | 'tableSize'>): number {
  return tableEntries(shape) * shape.clusterSize;
}

/**
 * Reads and checks the header.
 *
 * @throws BlockError `corrupt` for a field that contradicts the specification, `unsupported` for features that are not known
 */
export function* readHeader(file: BlockChild): Co<QedHeader> {
  const bytes = new Uint8Array(HEADER_LENGTH);
  yield* settle(file.read(0, bytes));
  const view = new DataView(bytes.buffer);
  if (view.getUint32(FIELD.magic, true) !== MAGIC) throw broken('does not begin as a QED image does');
  const fields = {
    clusterSize: view.getUint32(FIELD.clusterSize, true),
    tableSize: view.getUint32(FIELD.tableSize, true),
    headerSize: view.getUint32(FIELD.headerSize, true),
    features: view.getBigUint64(FIELD.features, true),
    compatFeatures: view.getBigUint64(FIELD.compatFeatures, true),
    autoclearFeatures: view.getBigUint64(FIELD.autoclearFeatures, true),
    l1TableOffset: offsetAt(view, FIELD.l1TableOffset, 'l1_table_offset'),
    imageSize: offsetAt(view, FIELD.imageSize, 'image_size'),
  };
  checkFields(fields, file.length);
  return { ...fields, backingFilename: yield* readBackingFilename(file, view, fields) };
}

type Fields = Omit<QedHeader, 'backingFilename'>;

function checkFields(fields: Fields, fileLength: number): void {
  const { clusterSize, tableSize, headerSize, features, l1TableOffset, imageSize } = fields;
  const unknown = features & ~KNOWN_FEATURES;
  if (unknown !== 0n) {
    throw new BlockError('unsupported', `The QED image has features that are not known (0x${unknown.toString(16)})`);
  }
  if (!isPowerOfTwo(clusterSize) || clusterSize < MIN_CLUSTER_SIZE || clusterSize > MAX_CLUSTER_SIZE) {
    throw broken(
      `has cluster_size ${clusterSize}, which is no power of two from ${MIN_CLUSTER_SIZE} to ${MAX_CLUSTER_SIZE}`,
    );
  }
  if (!isPowerOfTwo(tableSize) || tableSize < MIN_TABLE_SIZE || tableSize > MAX_TABLE_SIZE) {
    throw broken(`has table_size ${tableSize}, which is no power of two from ${MIN_TABLE_SIZE} to ${MAX_TABLE_SIZE}`);
  }
  if (headerSize === 0 || headerSize * clusterSize > fileLength) {
    throw broken(`has header_size ${headerSize}, which does not fit into the file`);
  }
  if (imageSize % SECTOR_SIZE !== 0 || imageSize > maxImageSize(fields)) {
    throw broken(`has image_size ${imageSize}, which is not a multiple of 512, or too large for its tables`);
  }
  if (!isTablePlace(fields, l1TableOffset, fileLength)) {
    throw broken(`has l1_table_offset ${l1TableOffset}, where no table can be`);
  }
}

/** Whether a whole table can be at an offset: on a cluster, behind the header, before the end of the file. */
export function isTablePlace(shape: Fields, offset: number, fileLength: number): boolean {
  const { clusterSize, tableSize, headerSize } = shape;
  const end = offset + tableSize * clusterSize;
  return offset % clusterSize === 0 && offset >= headerSize * clusterSize && end <= fileLength;
}

/** Whether a cluster of data can be at an offset. */
export function isClusterPlace(shape: Fields, offset: number, fileLength: number): boolean {
  const { clusterSize, headerSize } = shape;
  return offset % clusterSize === 0 && offset >= headerSize * clusterSize && offset + clusterSize <= fileLength;
}

function* readBackingFilename(file: BlockChild, view: DataView, fields: Fields): Co<string | undefined> {
  if ((fields.features & FEATURE_BACKING_FILE) === 0n) return undefined;
  const offset = view.getUint32(FIELD.backingFilenameOffset, true);
  const length = view.getUint32(FIELD.backingFilenameSize, true);
  const outside = offset < HEADER_LENGTH || offset + length > fields.headerSize * fields.clusterSize;
  if (outside || length === 0 || length > MAX_BACKING_FILENAME) {
    throw broken(`has its backing file's name at ${offset}, ${length} bytes long, where it cannot be`);
  }
  const bytes = new Uint8Array(length);
  yield* settle(file.read(offset, bytes));
  return new TextDecoder().decode(bytes);
}

/**
 * The header's bytes, with the backing file's name behind the fields.
 *
 * @throws BlockError `invalid` when the name is too long
 */
export function encodeHeader(header: QedHeader): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(header.backingFilename ?? '');
  if (name.length > MAX_BACKING_FILENAME) {
    throw new BlockError('invalid', `The backing file's name has ${name.length} bytes; ${MAX_BACKING_FILENAME} fit`);
  }
  const bytes = new Uint8Array(HEADER_LENGTH + name.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(FIELD.magic, MAGIC, true);
  view.setUint32(FIELD.clusterSize, header.clusterSize, true);
  view.setUint32(FIELD.tableSize, header.tableSize, true);
  view.setUint32(FIELD.headerSize, header.headerSize, true);
  view.setBigUint64(FIELD.features, header.features, true);
  view.setBigUint64(FIELD.compatFeatures, header.compatFeatures, true);
  view.setBigUint64(FIELD.autoclearFeatures, header.autoclearFeatures, true);
  view.setBigUint64(FIELD.l1TableOffset, BigInt(header.l1TableOffset), true);
  view.setBigUint64(FIELD.imageSize, BigInt(header.imageSize), true);
  if (name.length > 0) {
    view.setUint32(FIELD.backingFilenameOffset, HEADER_LENGTH, true);
    view.setUint32(FIELD.backingFilenameSize, name.length, true);
    bytes.set(name, HEADER_LENGTH);
  }
  return bytes;
}

/** The header with another backing file, or none. @param raw it is raw, and not to be probed */
export function withBackingFile(header: QedHeader, filename: string | undefined, raw: boolean): QedHeader {
  const cleared = header.features & ~(FEATURE_BACKING_FILE | FEATURE_BACKING_FORMAT_NO_PROBE);
  if (filename === undefined) return { ...header, features: cleared, backingFilename: undefined };
  const features = cleared | FEATURE_BACKING_FILE | (raw ? FEATURE_BACKING_FORMAT_NO_PROBE : 0n);
  return { ...header, features, backingFilename: filename };
}

export function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

function offsetAt(view: DataView, at: number, name: string): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw broken(`has ${name} ${value}, which is 2^53 or more`);
  return Number(value);
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `The header ${what}`);
}

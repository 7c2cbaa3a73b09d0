import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import {
  CRYPT_AES,
  ENTRY_LENGTH,
  FIELD,
  HEADER_LENGTH,
  MAGIC,
  MAX_BACKING_FILENAME,
  MAX_CLUSTER_BITS,
  MAX_L1_BYTES,
  MAX_L2_BITS,
  MIN_CLUSTER_BITS,
  MIN_L2_BITS,
  VERSION,
} from './layout.ts';

export interface QcowHeader {
  readonly backingFilename: string | undefined;
  /** Bytes of the disk: whole sectors, as QEMU shows it. */
  readonly size: number;
  readonly clusterBits: number;
  /** Entries of an L2 table, as a power of two. */
  readonly l2Bits: number;
  readonly cryptMethod: number;
  readonly l1TableOffset: number;
}

/** Entries of the L1 table. */
export function l1Entries({ size, clusterBits, l2Bits }: Omit<QcowHeader, 'backingFilename'>): number {
  return Math.ceil(size / 2 ** (clusterBits + l2Bits));
}

/**
 * Reads and checks the header.
 *
 * @throws BlockError `corrupt` for a field that cannot be, `unsupported` for tables that are too large to be held in memory
 */
export function* readHeader(file: BlockChild): Co<QcowHeader> {
  const bytes = new Uint8Array(HEADER_LENGTH);
  yield* settle(file.read(0, bytes));
  const view = new DataView(bytes.buffer);
  if (view.getUint32(FIELD.magic) !== MAGIC || view.getUint32(FIELD.version) !== VERSION) {
    throw new BlockError('corrupt', 'Image not in qcow format');
  }
  const size = numberAt(view, FIELD.size, 'size');
  const fields = {
    size: size - (size % SECTOR_SIZE),
    clusterBits: view.getUint8(FIELD.clusterBits),
    l2Bits: view.getUint8(FIELD.l2Bits),
    cryptMethod: view.getUint32(FIELD.cryptMethod),
    l1TableOffset: numberAt(view, FIELD.l1TableOffset, 'l1_table_offset'),
  };
  if (size <= 1) throw broken(`has size ${size}: Image size is too small (must be at least 2 bytes)`);
  checkFields(fields, file.length);
  return { ...fields, backingFilename: yield* readBackingFilename(file, view) };
}

function checkFields(fields: Omit<QcowHeader, 'backingFilename'>, fileLength: number): void {
  const { clusterBits, l2Bits, cryptMethod, l1TableOffset } = fields;
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS) {
    throw broken(`has cluster_bits ${clusterBits}: Cluster size must be between 512 and 64k`);
  }
  if (l2Bits < MIN_L2_BITS || l2Bits > MAX_L2_BITS) {
    throw broken(`has l2_bits ${l2Bits}: L2 table size must be between 512 and 64k`);
  }
  if (cryptMethod > CRYPT_AES)
    throw broken(`has crypt_method ${cryptMethod}: invalid encryption method in qcow header`);
  const l1Bytes = l1Entries(fields) * ENTRY_LENGTH;
  if (l1Bytes > MAX_L1_BYTES) {
    throw new BlockError(
      'unsupported',
      `The disk of ${fields.size} bytes needs an L1 table of ${l1Bytes} bytes; no more than ${MAX_L1_BYTES} are read`,
    );
  }
  if (l1TableOffset < HEADER_LENGTH || l1TableOffset + l1Bytes > fileLength) {
    throw broken(
      `has l1_table_offset ${l1TableOffset} for a table of ${l1Bytes} bytes, which is not in the file of ${fileLength} bytes: it was cut off, or the header is damaged`,
    );
  }
}

function* readBackingFilename(file: BlockChild, view: DataView): Co<string | undefined> {
  const offset = numberAt(view, FIELD.backingFileOffset, 'backing_file_offset');
  const length = view.getUint32(FIELD.backingFileSize);
  if (offset === 0 || length === 0) return undefined;
  if (length > MAX_BACKING_FILENAME) throw broken(`has backing_file_size ${length}: Backing file name too long`);
  if (offset < HEADER_LENGTH || offset + length > file.length) {
    throw broken(`has backing_file_offset ${offset} for a name of ${length} bytes, which is not in the file`);
  }
  const bytes = new Uint8Array(length);
  yield* settle(file.read(offset, bytes));
  return new TextDecoder().decode(bytes);
}

/** The header's bytes, with the backing file's name behind the fields, up to where the L1 table begins. */
export function encodeHeader(header: Omit<QcowHeader, 'l1TableOffset'>): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(header.backingFilename ?? '');
  if (name.length > MAX_BACKING_FILENAME) {
    throw new BlockError('invalid', `The backing file's name has ${name.length} bytes; ${MAX_BACKING_FILENAME} fit`);
  }
  const bytes = new Uint8Array(Math.ceil((HEADER_LENGTH + name.length) / ENTRY_LENGTH) * ENTRY_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(FIELD.magic, MAGIC);
  view.setUint32(FIELD.version, VERSION);
  view.setBigUint64(FIELD.size, BigInt(header.size));
  view.setUint8(FIELD.clusterBits, header.clusterBits);
  view.setUint8(FIELD.l2Bits, header.l2Bits);
  view.setUint32(FIELD.cryptMethod, header.cryptMethod);
  view.setBigUint64(FIELD.l1TableOffset, BigInt(bytes.length));
  if (name.length > 0) {
    view.setBigUint64(FIELD.backingFileOffset, BigInt(HEADER_LENGTH));
    view.setUint32(FIELD.backingFileSize, name.length);
    bytes.set(name, HEADER_LENGTH);
  }
  return bytes;
}

function numberAt(view: DataView, at: number, name: string): number {
  const value = view.getBigUint64(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw broken(`has ${name} ${value}, which is 2^53 or more`);
  return Number(value);
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `The qcow header ${what}`);
}

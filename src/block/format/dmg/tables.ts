/** The tables of chunks: found in the property list or the resource fork, read, sorted and checked. */
import { decodeBase64 } from '../../../codec/base64.ts';
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';

import {
  CHUNK,
  CHUNK_ADC,
  CHUNK_BZIP2,
  CHUNK_COMMENT,
  CHUNK_END,
  CHUNK_IGNORE,
  CHUNK_LENGTH,
  CHUNK_LZFSE,
  CHUNK_LZMA,
  CHUNK_RAW,
  CHUNK_ZERO,
  CHUNK_ZLIB,
  FORK,
  MAX_CHUNK_BYTES,
  MAX_TABLES_BYTES,
  TABLE,
  TABLE_MAGIC,
} from './layout.ts';
import { readCrc32, textAt, type FileRange, type Trailer } from './trailer.ts';

export type ChunkKind = 'zero' | 'raw' | 'adc' | 'zlib' | 'bzip2' | 'lzfse' | 'lzma';

/** Bytes everywhere. */
export interface Chunk {
  readonly kind: ChunkKind;
  readonly guestOffset: number;
  readonly guestLength: number;
  readonly hostOffset: number;
  readonly hostLength: number;
  /** Whether its table's checksum is over it, too: what is to be ignored may become anything. */
  readonly summed: boolean;
}

/** One of the tables, a partition. */
export interface ChunkTable {
  /** In guest order. */
  readonly chunks: readonly Chunk[];
  /** CRC-32 of what they become; undefined: it has none, or one of another kind. */
  readonly checksum: number | undefined;
}

const KINDS: ReadonlyMap<number, ChunkKind> = new Map([
  [CHUNK_ZERO, 'zero'],
  [CHUNK_IGNORE, 'zero'],
  [CHUNK_RAW, 'raw'],
  [CHUNK_ADC, 'adc'],
  [CHUNK_ZLIB, 'zlib'],
  [CHUNK_BZIP2, 'bzip2'],
  [CHUNK_LZFSE, 'lzfse'],
  [CHUNK_LZMA, 'lzma'],
]);

/**
 * Reads all tables.
 *
 * @returns the tables in the file's order. No chunk of any lies over another one
 * @throws BlockError `corrupt` or `unsupported`, naming the field
 */
export function* readTables(file: BlockChild, trailer: Trailer): Co<readonly ChunkTable[]> {
  const tables = trailer.plist.length > 0 ? yield* tablesOfPlist(file, trailer) : yield* tablesOfFork(file, trailer);
  if (tables.length === 0) throw new BlockError('corrupt', "The dmg image has no table of chunks ('mish')");
  const decoded = tables.map((table) => decodeTable(table, trailer.dataForkOffset, file.length));
  const chunks = allChunks(decoded);
  for (let index = 1; index < chunks.length; index++) {
    const [before, chunk] = [chunks[index - 1]!, chunks[index]!];
    if (chunk.guestOffset < before.guestOffset + before.guestLength) {
      throw new BlockError('corrupt', `Two chunks of the dmg image hold the guest's sector at ${chunk.guestOffset}`);
    }
  }
  return decoded;
}

/** The chunks of all tables in guest order. */
export function allChunks(tables: readonly Pick<ChunkTable, 'chunks'>[]): Chunk[] {
  return tables.flatMap(({ chunks }) => chunks).toSorted((a, b) => a.guestOffset - b.guestOffset);
}

function* readRange(file: BlockChild, { offset, length }: FileRange, what: string): Co<Uint8Array> {
  if (length > MAX_TABLES_BYTES) {
    throw new BlockError(
      'corrupt',
      `The ${what} of the dmg image has ${length} bytes; ${MAX_TABLES_BYTES} is the limit`,
    );
  }
  const bytes = new Uint8Array(length);
  yield* settle(file.read(offset, bytes));
  return bytes;
}

/** Tables are the data elements that begin with the magic, whatever is around them. */
function* tablesOfPlist(file: BlockChild, { plist }: Trailer): Co<Uint8Array[]> {
  const text = new TextDecoder().decode(yield* readRange(file, plist, 'property list'));
  const tables: Uint8Array[] = [];
  for (let at = text.indexOf('<data>'); at >= 0; at = text.indexOf('<data>', at)) {
    const begin = at + '<data>'.length;
    const end = text.indexOf('</data>', begin);
    if (end < 0) throw new BlockError('corrupt', 'The property list of the dmg image ends inside a data element');
    const bytes = decodeBase64(text.slice(begin, end), 'The property list');
    if (textAt(bytes, TABLE.magic, 4) === TABLE_MAGIC) tables.push(bytes);
    at = end;
  }
  return tables;
}

/** Resources one behind the other, each with its length before it. */
function* tablesOfFork(file: BlockChild, { resourceFork }: Trailer): Co<Uint8Array[]> {
  const fork = yield* readRange(file, resourceFork, 'resource fork');
  if (fork.length < FORK.headerLength) {
    throw new BlockError('corrupt', 'The dmg image has neither a property list nor a resource fork');
  }
  const view = new DataView(fork.buffer);
  const begin = view.getUint32(FORK.dataOffset);
  const end = begin + view.getUint32(FORK.dataLength);
  if (end > fork.length) {
    throw new BlockError('corrupt', `The data of the dmg image's resource fork ends at ${end} of ${fork.length} bytes`);
  }
  const tables: Uint8Array[] = [];
  for (let at = begin; at < end;) {
    const length = at + 4 <= end ? view.getUint32(at) : 0;
    if (length === 0 || at + 4 + length > end) {
      throw new BlockError('corrupt', `A resource of the dmg image has ${length} bytes at ${at} of ${end}`);
    }
    const bytes = fork.subarray(at + 4, at + 4 + length);
    if (textAt(bytes, TABLE.magic, 4) === TABLE_MAGIC) tables.push(bytes);
    at += 4 + length;
  }
  return tables;
}

function decodeTable(table: Uint8Array, dataForkOffset: number, fileLength: number): ChunkTable {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const count = table.length < TABLE.chunks ? 0 : view.getUint32(TABLE.chunkCount);
  if (table.length < TABLE.chunks || TABLE.chunks + count * CHUNK_LENGTH > table.length) {
    throw new BlockError(
      'corrupt',
      `A table of the dmg image has ${count} chunks, which ${table.length} bytes do not hold`,
    );
  }
  const place = {
    sector: view.getBigUint64(TABLE.firstSector),
    offset: BigInt(dataForkOffset) + view.getBigUint64(TABLE.dataOffset),
    fileLength: BigInt(fileLength),
  };
  const chunks: Chunk[] = [];
  for (let index = 0; index < count; index++) {
    const chunk = decodeChunk(new DataView(view.buffer, view.byteOffset + TABLE.chunks + index * CHUNK_LENGTH), place);
    if (chunk !== undefined) chunks.push(chunk);
  }
  return { chunks: allChunks([{ chunks }]), checksum: readCrc32(view, TABLE.checksum) };
}

interface TablePlace {
  readonly sector: bigint;
  readonly offset: bigint;
  readonly fileLength: bigint;
}

/** @returns undefined for what is no chunk: comments, the end, and chunks without sectors */
function decodeChunk(view: DataView, place: TablePlace): Chunk | undefined {
  const type = view.getUint32(CHUNK.type);
  const sectors = view.getBigUint64(CHUNK.sectorCount);
  if (type === CHUNK_COMMENT || type === CHUNK_END || sectors === 0n) return undefined;
  const kind = KINDS.get(type);
  if (kind === undefined) {
    const name = `type 0x${type.toString(16)}`;
    throw new BlockError('unsupported', `A chunk of the dmg image is compressed with ${name}, which cannot be read`);
  }
  const sector = place.sector + view.getBigUint64(CHUNK.sector);
  const offset = place.offset + view.getBigUint64(CHUNK.offset);
  const length = view.getBigUint64(CHUNK.length);
  const where = `The chunk at the guest's sector ${sector} of the dmg image`;
  if ((sector + sectors) * BigInt(SECTOR_SIZE) > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new BlockError('corrupt', `${where} has ${sectors} sectors, more than a disk can have`);
  }
  const guest = { guestOffset: Number(sector) * SECTOR_SIZE, guestLength: Number(sectors) * SECTOR_SIZE };
  const summed = type !== CHUNK_IGNORE;
  if (kind === 'zero') return { kind, ...guest, hostOffset: 0, hostLength: 0, summed };
  if (offset + length > place.fileLength) {
    throw new BlockError(
      'corrupt',
      `${where} has ${length} bytes at ${offset} in the file, which ends at ${place.fileLength}`,
    );
  }
  const chunk = { kind, ...guest, hostOffset: Number(offset), hostLength: Number(length), summed };
  checkLengths(chunk, where);
  return chunk;
}

function checkLengths({ kind, guestLength, hostLength }: Chunk, where: string): void {
  if (kind === 'raw') {
    if (hostLength >= guestLength) return;
    throw new BlockError('corrupt', `${where} holds ${guestLength} bytes as they are, and has only ${hostLength}`);
  }
  if (guestLength > MAX_CHUNK_BYTES) {
    throw new BlockError('corrupt', `${where} becomes ${guestLength} bytes; ${MAX_CHUNK_BYTES} is the limit`);
  }
  if (hostLength > MAX_CHUNK_BYTES) {
    throw new BlockError('corrupt', `${where} has ${hostLength} compressed bytes; ${MAX_CHUNK_BYTES} is the limit`);
  }
}

/** Apple disk images made by hand: no program of Debian's writes them. */
import { execFileSync } from 'node:child_process';
import { crc32, deflateSync } from 'node:zlib';
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
  CHECKSUM,
  CHECKSUM_CRC32,
  TABLE,
  TRAILER,
  TRAILER_LENGTH,
} from '../../src/block/format/dmg/layout.ts';
import { encodeAdc, lzfseMatches, lzfseStream } from './apple-codecs.ts';

export type BuiltKind = 'zero' | 'ignore' | 'raw' | 'adc' | 'zlib' | 'bzip2' | 'lzfse' | 'lzma';

const TYPES: Readonly<Record<BuiltKind, number>> = {
  zero: CHUNK_ZERO,
  ignore: CHUNK_IGNORE,
  raw: CHUNK_RAW,
  adc: CHUNK_ADC,
  zlib: CHUNK_ZLIB,
  bzip2: CHUNK_BZIP2,
  lzfse: CHUNK_LZFSE,
  lzma: CHUNK_LZMA,
};

const ENCODERS: Readonly<Record<BuiltKind, (data: Uint8Array) => Uint8Array>> = {
  zero: () => new Uint8Array(),
  ignore: () => new Uint8Array(),
  raw: (data) => data,
  adc: encodeAdc,
  zlib: (data) => new Uint8Array(deflateSync(data)),
  bzip2: (data) => new Uint8Array(execFileSync('bzip2', ['-c'], { input: data })),
  lzfse: (data) => lzfseStream(lzfseMatches(data)),
  lzma: (data) => new Uint8Array(execFileSync('xz', ['-c'], { input: data })),
};

export interface BuiltChunk {
  readonly kind: BuiltKind;
  /** What the guest reads there; whole sectors. */
  readonly data: Uint8Array;
}

export interface BuiltImage {
  readonly bytes: Uint8Array;
  /** Where the tables are, as they are or in base64. */
  readonly tables: { readonly offset: number; readonly length: number };
  readonly trailer: number;
  /** With a resource fork: where chunk number n of the first table is described. */
  chunkAt(index: number): number;
}

/**
 * @param partitions a table of chunks each, in guest order
 * @param as where the tables are
 * @param options `dataFork`: where the chunks begin; they count from there and from the table's own offset. `comments`: whether each
 *   table has a chunk that is a comment
 */
export function buildDmg(
  partitions: readonly (readonly BuiltChunk[])[],
  as: 'plist' | 'fork',
  { dataFork = 512, comments = true }: { readonly dataFork?: number; readonly comments?: boolean } = {},
): BuiltImage {
  const parts: Uint8Array[] = [new Uint8Array(dataFork).fill(0xee)];
  let end = dataFork;
  let sector = 0;
  const tables = partitions.map((chunks) => {
    const dataOffset = end - dataFork;
    const first = sector;
    const entries = chunks.map(({ kind, data }) => {
      const encoded = ENCODERS[kind](data);
      const entry = {
        type: TYPES[kind],
        sector: sector - first,
        sectors: data.length / 512,
        at: end - dataFork - dataOffset,
        length: encoded.length,
      };
      parts.push(encoded);
      end += encoded.length;
      sector += entry.sectors;
      return entry;
    });
    const rest = { sector: sector - first, sectors: 0, at: end - dataFork - dataOffset, length: 0 };
    const summed = chunks.filter(({ kind }) => kind !== 'ignore').map(({ data }) => data);
    const comment = comments ? [{ type: CHUNK_COMMENT, ...rest }] : [];
    const all = [...comment, ...entries, { type: CHUNK_END, ...rest }];
    return encodeTable(first, dataOffset, crc32(Buffer.concat(summed)), all);
  });
  const tableBytes = as === 'plist' ? plistOf(tables) : forkOf(tables);
  const trailer = new Uint8Array(TRAILER_LENGTH);
  const view = new DataView(trailer.buffer);
  trailer.set(new TextEncoder().encode('koly'));
  view.setUint32(TRAILER.version, 4);
  view.setUint32(TRAILER.headerSize, TRAILER_LENGTH);
  view.setBigUint64(TRAILER.dataForkOffset, BigInt(dataFork));
  view.setBigUint64(TRAILER.dataForkLength, BigInt(end - dataFork));
  putCrc32(view, TRAILER.dataChecksum, crc32(Buffer.concat(parts.slice(1))));
  const at = as === 'plist' ? TRAILER.plistOffset : TRAILER.resourceForkOffset;
  view.setBigUint64(at, BigInt(end));
  view.setBigUint64(at + 8, BigInt(tableBytes.length));
  view.setBigUint64(492, BigInt(sector));
  const bytes = Buffer.concat([...parts, tableBytes, trailer]);
  const chunkAt = (index: number) => end + 256 + 4 + TABLE.chunks + (index + 1) * CHUNK_LENGTH;
  return {
    bytes: new Uint8Array(bytes),
    tables: { offset: end, length: tableBytes.length },
    trailer: end + tableBytes.length,
    chunkAt,
  };
}

interface Entry {
  readonly type: number;
  readonly sector: number;
  readonly sectors: number;
  readonly at: number;
  readonly length: number;
}

function putCrc32(view: DataView, at: number, sum: number): void {
  view.setUint32(at + CHECKSUM.type, CHECKSUM_CRC32);
  view.setUint32(at + CHECKSUM.bits, 32);
  view.setUint32(at + CHECKSUM.value, sum);
}

function encodeTable(firstSector: number, dataOffset: number, sum: number, entries: readonly Entry[]): Uint8Array {
  const bytes = new Uint8Array(TABLE.chunks + entries.length * CHUNK_LENGTH);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode('mish'));
  view.setUint32(4, 1);
  view.setBigUint64(TABLE.firstSector, BigInt(firstSector));
  view.setBigUint64(16, BigInt(entries.at(-1)!.sector));
  view.setBigUint64(TABLE.dataOffset, BigInt(dataOffset));
  putCrc32(view, TABLE.checksum, sum);
  view.setUint32(TABLE.chunkCount, entries.length);
  for (const [index, { type, sector, sectors, at, length }] of entries.entries()) {
    const place = TABLE.chunks + index * CHUNK_LENGTH;
    view.setUint32(place + CHUNK.type, type);
    view.setBigUint64(place + CHUNK.sector, BigInt(sector));
    view.setBigUint64(place + CHUNK.sectorCount, BigInt(sectors));
    view.setBigUint64(place + CHUNK.offset, BigInt(at));
    view.setBigUint64(place + CHUNK.length, BigInt(length));
  }
  return bytes;
}

function plistOf(tables: readonly Uint8Array[]): Uint8Array {
  const lines = (table: Uint8Array) => Buffer.from(table).toString('base64').replaceAll(/.{52}/g, '$&\n\t\t\t\t');
  const dicts = tables.map(
    (table, index) => `<dict>
			<key>Attributes</key>
			<string>0x0050</string>
			<key>CFName</key>
			<string>part ${index}</string>
			<key>Data</key>
			<data>
				${lines(table)}
			</data>
			<key>ID</key>
			<string>${index}</string>
			<key>Name</key>
			<string>part ${index}</string>
		</dict>
`,
  );
  // What is in data elements and is no table of chunks is passed over.
  const other = `<key>plst</key><array><dict><key>Data</key><data>${Buffer.from('something').toString('base64')}</data></dict></array>`;
  return new TextEncoder().encode(
    `<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0"><dict><key>resource-fork</key><dict><key>blkx</key>` +
      `<array>${dicts.join('')}</array>${other}</dict></dict></plist>\n`,
  );
}

function forkOf(tables: readonly Uint8Array[]): Uint8Array {
  const resources = [...tables, new TextEncoder().encode('another resource')].map((resource) => {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, resource.length);
    return Buffer.concat([length, resource]);
  });
  const data = Buffer.concat(resources);
  const header = new Uint8Array(256);
  const view = new DataView(header.buffer);
  view.setUint32(0, 256);
  view.setUint32(4, 256 + data.length);
  view.setUint32(8, data.length);
  return Buffer.concat([header, data]);
}

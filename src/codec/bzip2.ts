/**
 * Decompressing bzip2: what was sorted (Burrows and Wheeler), moved to front and coded with Huffman tables, block by block.
 *
 * Source: the description of the format in "bzip2 format specification" by Joe Tsai, and bzip2's manual.
 */
import { byteTable } from './byte-table.ts';
import { Bzip2Bits, readHuffmanTables, type SymbolReader } from './bzip2-huffman.ts';
import { streamTooLong, streamTooShort, wrongStream } from './errors.ts';

const METHOD = 'bzip2';
/** The digits of pi begin a block, those of its square root end the stream. */
const BLOCK_MAGIC = [0x314159, 0x265359] as const;
const END_MAGIC = [0x177245, 0x385090] as const;
const LEVEL_BYTES = 100_000;
/** Four equal bytes are followed by how many more there are. */
const RUN = 4;

/**
 * Decompresses a stream that must give exactly as many bytes as fit into `output`. What follows it is not looked at.
 *
 * @throws BlockError `corrupt` when the stream is broken, too short or too long, or its checksum is wrong
 */
export function decompressBzip2(data: Uint8Array, output: Uint8Array): void {
  const bits = new Bzip2Bits(data);
  if (bits.take(24) !== 0x425a68) throw wrongStream(METHOD, "it does not begin with 'BZh'");
  const level = bits.take(8) - 0x30;
  if (level < 1 || level > 9) throw wrongStream(METHOD, 'the size of its blocks is none from 1 to 9');
  const sorted = new Uint32Array(level * LEVEL_BYTES);
  let done = 0;
  let combined = 0;
  for (;;) {
    const magic = [bits.take(24), bits.take(24)];
    const expected = bits.take32();
    if (equal(magic, END_MAGIC)) {
      if (expected !== combined) throw wrongStream(METHOD, 'the checksum of the whole is wrong');
      break;
    }
    if (!equal(magic, BLOCK_MAGIC)) throw wrongStream(METHOD, 'no block begins where one must');
    const begin = done;
    done = unsort(sorted, readBlock(bits, sorted), output, begin);
    if (checksum(output.subarray(begin, done)) !== expected)
      throw wrongStream(METHOD, 'the checksum of a block is wrong');
    combined = (((combined << 1) | (combined >>> 31)) ^ expected) >>> 0;
  }
  if (done < output.length) throw streamTooShort(METHOD, done, output.length);
}

function equal([high, low]: readonly number[], [wantedHigh, wantedLow]: readonly [number, number]): boolean {
  return high === wantedHigh && low === wantedLow;
}

interface SortedBlock {
  readonly length: number;
  /** Which of the sorted rotations is the text. */
  readonly origin: number;
}

/** Fills `sorted` with the last column of the sorted rotations. */
function readBlock(bits: Bzip2Bits, sorted: Uint32Array): SortedBlock {
  if (bits.take(1) === 1) throw wrongStream(METHOD, 'its blocks are randomised, as before version 0.9.5');
  const origin = bits.take(24);
  const used = readUsedBytes(bits);
  const length = readColumn(readHuffmanTables(bits, used.length + 2), used, sorted);
  if (origin >= length) throw wrongStream(METHOD, `its text begins at ${origin} of ${length} bytes`);
  return { length, origin };
}

function readUsedBytes(bits: Bzip2Bits): Uint8Array {
  const rows = bits.take(16);
  const used: number[] = [];
  for (let row = 0; row < 16; row++) {
    if ((rows & (0x8000 >> row)) === 0) continue;
    const columns = bits.take(16);
    for (let column = 0; column < 16; column++) {
      if ((columns & (0x8000 >> column)) !== 0) used.push(row * 16 + column);
    }
  }
  if (used.length === 0) throw wrongStream(METHOD, 'a block uses no bytes');
  return Uint8Array.from(used);
}

/** Undoes moving to front and the runs of its zeroes: symbols 0 and 1 are the digits of a length, the last symbol ends the block. */
function readColumn(symbols: SymbolReader, front: Uint8Array, sorted: Uint32Array): number {
  const last = front.length + 1;
  let length = 0;
  let run = 0;
  let digit = 1;
  for (;;) {
    const symbol = symbols.next();
    if (symbol <= 1) {
      run += digit << symbol;
      digit *= 2;
      if (run > sorted.length) throw wrongStream(METHOD, 'a run is longer than its block');
      continue;
    }
    if (length + run > sorted.length) throw wrongStream(METHOD, 'a block is longer than it says');
    sorted.fill(front[0]!, length, length + run);
    length += run;
    run = 0;
    digit = 1;
    if (symbol === last) return length;
    if (length === sorted.length) throw wrongStream(METHOD, 'a block is longer than it says');
    const byte = front[symbol - 1]!;
    front.copyWithin(1, 0, symbol - 1);
    front[0] = byte;
    sorted[length++] = byte;
  }
}

/** Walks through the rotations from the text on, and undoes the runs of equal bytes. @returns how far the output is filled */
function unsort(sorted: Uint32Array, { length, origin }: SortedBlock, output: Uint8Array, begin: number): number {
  linkRotations(sorted, length);
  let done = begin;
  let place = sorted[origin]! >>> 8;
  let same = 0;
  let previous = -1;
  for (let left = length; left > 0; left--) {
    const entry = sorted[place]!;
    const byte = entry & 0xff;
    place = entry >>> 8;
    const isCount = same === RUN;
    const count = isCount ? byte : 1;
    if (done + count > output.length) throw streamTooLong(METHOD, output.length);
    output.fill(isCount ? previous : byte, done, done + count);
    done += count;
    same = isCount ? 0 : byte === previous ? same + 1 : 1;
    previous = isCount ? -1 : byte;
  }
  return done;
}

/** Above its byte, each entry gets where the rotation is that follows. Blocks have fewer than 2^20 bytes. */
function linkRotations(sorted: Uint32Array, length: number): void {
  const starts = new Uint32Array(257);
  for (let index = 0; index < length; index++) starts[sorted[index]! + 1]!++;
  for (let byte = 0; byte < 256; byte++) starts[byte + 1]! += starts[byte]!;
  for (let index = 0; index < length; index++) {
    const target = starts[sorted[index]! & 0xff]!++;
    sorted[target]! |= index << 8;
  }
}

const checksums = byteTable((byte) => {
  let sum = byte << 24;
  for (let bit = 0; bit < 8; bit++) sum = (sum << 1) ^ (sum < 0 ? 0x04c11db7 : 0);
  return sum >>> 0;
});

/** CRC-32 with the highest bit first. */
function checksum(bytes: Uint8Array): number {
  const table = checksums();
  let sum = 0xffffffff;
  for (const byte of bytes) sum = (sum << 8) ^ table[((sum >>> 24) ^ byte) & 0xff]!;
  return ~sum >>> 0;
}

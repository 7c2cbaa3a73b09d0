/** The bits of a bzip2 stream, and the Huffman tables of a block. */
import { wrongStream } from './errors.ts';

const METHOD = 'bzip2';
const MAX_CODE_LENGTH = 20;
const MIN_TABLES = 2;
const MAX_TABLES = 6;
/** So many symbols are coded with one table before the next selector is looked at. */
const GROUP = 50;

/** The highest bit of a byte comes first. */
export class Bzip2Bits {
  readonly #data: Uint8Array;
  #at = 0;
  #held = 0;
  #bits = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  /** @param count 1 to 24. @throws BlockError `corrupt` when there are no more */
  take(count: number): number {
    while (this.#bits < count) {
      const byte = this.#data[this.#at++];
      if (byte === undefined) throw wrongStream(METHOD, 'it ends too early');
      this.#held = ((this.#held & 0xffffff) << 8) | byte;
      this.#bits += 8;
    }
    this.#bits -= count;
    return (this.#held >>> this.#bits) & (2 ** count - 1);
  }

  take32(): number {
    return this.take(16) * 65_536 + this.take(16);
  }
}

export interface SymbolReader {
  next(): number;
}

/** @param symbols how many there are. @throws BlockError `corrupt`, naming what is wrong */
export function readHuffmanTables(bits: Bzip2Bits, symbols: number): SymbolReader {
  const tables = bits.take(3);
  if (tables < MIN_TABLES || tables > MAX_TABLES) throw wrongStream(METHOD, `a block has ${tables} Huffman tables`);
  const selectors = readSelectors(bits, tables);
  return new GroupedSymbols(
    bits,
    selectors,
    Array.from({ length: tables }, () => new HuffmanTable(readLengths(bits, symbols))),
  );
}

function readSelectors(bits: Bzip2Bits, tables: number): Uint8Array {
  const selectors = new Uint8Array(bits.take(15));
  if (selectors.length === 0) throw wrongStream(METHOD, 'a block has no selectors');
  const front = Uint8Array.from({ length: tables }, (_, index) => index);
  for (let index = 0; index < selectors.length; index++) {
    let place = 0;
    while (bits.take(1) === 1) {
      if (++place >= tables) throw wrongStream(METHOD, `a selector names table ${place} of ${tables}`);
    }
    const table = front[place]!;
    front.copyWithin(1, 0, place);
    front[0] = table;
    selectors[index] = table;
  }
  return selectors;
}

/** Each length is told by its difference to the one before. */
function readLengths(bits: Bzip2Bits, symbols: number): Uint8Array {
  const lengths = new Uint8Array(symbols);
  let length = bits.take(5);
  for (let symbol = 0; symbol < symbols; symbol++) {
    for (;;) {
      if (length < 1 || length > MAX_CODE_LENGTH) throw wrongStream(METHOD, `a Huffman code has ${length} bits`);
      if (bits.take(1) === 0) break;
      length += bits.take(1) === 0 ? 1 : -1;
    }
    lengths[symbol] = length;
  }
  return lengths;
}

/** Canonical codes: those of one length follow one another, in the order of their symbols. */
class HuffmanTable {
  readonly #symbols: Uint16Array;
  /** By length: the first code, and where its symbol is. */
  readonly #first = new Int32Array(MAX_CODE_LENGTH + 2);
  readonly #start = new Int32Array(MAX_CODE_LENGTH + 2);

  constructor(lengths: Uint8Array) {
    this.#symbols = Uint16Array.from(Array.from(lengths.keys()).toSorted((a, b) => lengths[a]! - lengths[b]! || a - b));
    const counts = new Int32Array(MAX_CODE_LENGTH + 2);
    for (const length of lengths) counts[length]!++;
    for (let length = 1; length <= MAX_CODE_LENGTH; length++) {
      this.#start[length + 1] = this.#start[length]! + counts[length]!;
      this.#first[length + 1] = (this.#first[length]! + counts[length]!) * 2;
    }
  }

  read(bits: Bzip2Bits): number {
    let code = 0;
    for (let length = 1; length <= MAX_CODE_LENGTH; length++) {
      code = code * 2 + bits.take(1);
      const index = code - this.#first[length]!;
      if (index >= 0 && index < this.#start[length + 1]! - this.#start[length]!) {
        return this.#symbols[this.#start[length]! + index]!;
      }
    }
    throw wrongStream(METHOD, 'a Huffman code stands for nothing');
  }
}

class GroupedSymbols implements SymbolReader {
  readonly #bits: Bzip2Bits;
  readonly #selectors: Uint8Array;
  readonly #tables: readonly HuffmanTable[];
  #group = -1;
  #left = 0;

  constructor(bits: Bzip2Bits, selectors: Uint8Array, tables: readonly HuffmanTable[]) {
    this.#bits = bits;
    this.#selectors = selectors;
    this.#tables = tables;
  }

  next(): number {
    if (this.#left-- === 0) {
      this.#left = GROUP - 1;
      if (++this.#group >= this.#selectors.length) throw wrongStream(METHOD, 'a block has too few selectors');
    }
    return this.#tables[this.#selectors[this.#group]!]!.read(this.#bits);
  }
}

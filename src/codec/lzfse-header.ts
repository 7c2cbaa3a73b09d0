/** The header of an LZFSE block of type `bvx2`: its sizes, the first states, and the frequencies, which are packed themselves. */
import { wrongStream } from './errors.ts';

export interface BlockHeader {
  readonly headerSize: number;
  readonly literals: number;
  readonly matches: number;
  /** Bytes. */
  readonly literalPayload: number;
  readonly matchPayload: number;
  /** Bits of the last byte of a payload that hold nothing. */
  readonly literalBits: number;
  readonly matchBits: number;
  readonly literalStates: readonly number[];
  readonly countState: number;
  readonly lengthState: number;
  readonly distanceState: number;
  readonly countFrequencies: Uint16Array;
  readonly lengthFrequencies: Uint16Array;
  readonly distanceFrequencies: Uint16Array;
  readonly literalFrequencies: Uint16Array;
}

const FIXED_BYTES = 32;
/** Literals of a block are decoded before they are used; more than this no encoder puts into one. */
const MAX_LITERALS = 40_000;
const MAX_MATCHES = 10_000;

/** @throws BlockError `corrupt`, naming the field */
export function readBlockHeader(data: Uint8Array, at: number): BlockHeader {
  if (at + FIXED_BYTES > data.length) throw wrongStream('LZFSE', 'it ends inside a header');
  const view = new DataView(data.buffer, data.byteOffset + at, FIXED_BYTES);
  const [first, second, third] = [8, 16, 24].map((offset) => view.getBigUint64(offset, true)) as [
    bigint,
    bigint,
    bigint,
  ];
  const headerSize = bitsOf(third, 0, 32);
  if (headerSize < FIXED_BYTES || at + headerSize > data.length) {
    throw wrongStream('LZFSE', `its header has ${headerSize} bytes`);
  }
  const frequencies = readFrequencies(data.subarray(at + FIXED_BYTES, at + headerSize));
  return {
    headerSize,
    literals: bounded('literals', bitsOf(first, 0, 20), MAX_LITERALS),
    literalPayload: bitsOf(first, 20, 20),
    matches: bounded('matches', bitsOf(first, 40, 20), MAX_MATCHES),
    literalBits: 7 - bitsOf(first, 60, 3),
    literalStates: [0, 10, 20, 30].map((from) => bitsOf(second, from, 10)),
    matchPayload: bitsOf(second, 40, 20),
    matchBits: 7 - bitsOf(second, 60, 3),
    countState: bounded('state of literal counts', bitsOf(third, 32, 10), 63),
    lengthState: bounded('state of match lengths', bitsOf(third, 42, 10), 63),
    distanceState: bounded('state of distances', bitsOf(third, 52, 10), 255),
    countFrequencies: frequencies.subarray(0, 20),
    lengthFrequencies: frequencies.subarray(20, 40),
    distanceFrequencies: frequencies.subarray(40, 104),
    literalFrequencies: frequencies.subarray(104),
  };
}

function bitsOf(field: bigint, from: number, count: number): number {
  return Number((field >> BigInt(from)) & ((1n << BigInt(count)) - 1n));
}

function bounded(what: string, value: number, most: number): number {
  if (value > most) throw wrongStream('LZFSE', `${what}: ${value} where ${most} is the most`);
  return value;
}

/** Short codes of small frequencies by their low five bits: how many bits, and which frequency. */
const CODE_BITS = [2, 3, 2, 5, 2, 3, 2, 8, 2, 3, 2, 5, 2, 3, 2, 14];
const CODE_VALUES = [0, 2, 1, 4, 0, 3, 1, 0, 0, 2, 1, 5, 0, 3, 1, 0, 0, 2, 1, 6, 0, 3, 1, 0, 0, 2, 1, 7, 0, 3, 1, 0];

function readFrequencies(packed: Uint8Array): Uint16Array {
  const frequencies = new Uint16Array(360);
  let position = 0;
  for (let index = 0; index < frequencies.length; index++) {
    const at = position >> 3;
    const three = (packed[at] ?? 0) | ((packed[at + 1] ?? 0) << 8) | ((packed[at + 2] ?? 0) << 16);
    const code = three >> (position & 7);
    const count = CODE_BITS[code & 15]!;
    if (count === 8) frequencies[index] = 8 + ((code >> 4) & 0xf);
    else if (count === 14) frequencies[index] = 24 + ((code >> 4) & 0x3ff);
    else frequencies[index] = CODE_VALUES[code & 31]!;
    position += count;
  }
  if (position > packed.length * 8) throw wrongStream('LZFSE', 'the frequencies are not all there');
  return frequencies;
}

/**
 * LZFSE, Apple's codec: blocks of literals and copies, both coded with finite state entropy tables. Only decompression.
 *
 * Source: the description of the format in Apple's LZFSE reference (lzfse_internal.h, BSD licence).
 */
import { copyMatch, streamTooLong, streamTooShort, wrongStream } from './errors.ts';
import { BackwardBits, entropyTable, type EntropyTable } from './lzfse-entropy.ts';
import { readBlockHeader, type BlockHeader } from './lzfse-header.ts';
import { decompressLzvn } from './lzvn.ts';

const METHOD = 'LZFSE';

/** Extra bits of the symbols of literal counts, match lengths and distances. */
const LITERAL_COUNT_BITS = [...zeroes(16), 2, 3, 5, 8];
const MATCH_LENGTH_BITS = [...zeroes(16), 3, 5, 8, 11];
const DISTANCE_BITS = Array.from({ length: 64 }, (_, symbol) => symbol >> 2);

/**
 * Decompresses a stream that must give exactly as many bytes as fit into `output`. What follows the end mark is not looked at.
 *
 * @throws BlockError `corrupt` when the stream is broken, too short or too long; `output` may have been written to then
 */
export function decompressLzfse(data: Uint8Array, output: Uint8Array): void {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let at = 0;
  let done = 0;
  for (;;) {
    if (at + 4 > data.length) throw streamTooShort(METHOD, done, output.length);
    const magic = String.fromCharCode(...data.subarray(at, at + 4));
    if (magic === 'bvx$') break;
    if (at + 12 > data.length) throw wrongStream(METHOD, `it ends inside a block's header at ${at}`);
    const length = view.getUint32(at + 4, true);
    if (done + length > output.length) throw streamTooLong(METHOD, output.length);
    const end = done + length;
    if (magic === 'bvx-') {
      output.set(take(data, at + 8, length), done);
      at += 8 + length;
    } else if (magic === 'bvxn') {
      const payload = take(data, at + 12, view.getUint32(at + 8, true));
      decompressLzvn(payload, output.subarray(0, end), done);
      at += 12 + payload.length;
    } else if (magic === 'bvx2') {
      at = entropyBlock(data, at, output.subarray(0, end), done);
    } else {
      throw wrongStream(METHOD, `there is no block of type '${magic}'`);
    }
    done = end;
  }
  if (done < output.length) throw streamTooShort(METHOD, done, output.length);
}

function take(data: Uint8Array, at: number, length: number): Uint8Array {
  if (at + length > data.length) throw wrongStream(METHOD, `${length} bytes at ${at} are not all there`);
  return data.subarray(at, at + length);
}

/** @returns where the next block begins */
function entropyBlock(data: Uint8Array, at: number, output: Uint8Array, begin: number): number {
  const header = readBlockHeader(data, at);
  const literalsAt = at + header.headerSize;
  const matchesAt = literalsAt + header.literalPayload;
  const literals = readLiterals(header, take(data, literalsAt, header.literalPayload));
  readMatches(header, take(data, matchesAt, header.matchPayload), literals, output, begin);
  return matchesAt + header.matchPayload;
}

/** Four decoders take turns. */
function readLiterals(header: BlockHeader, payload: Uint8Array): Uint8Array {
  const table = entropyTable(header.literalFrequencies, 1024);
  const bits = new BackwardBits(payload, header.literalBits);
  const states = [...header.literalStates];
  const literals = new Uint8Array(header.literals);
  for (let index = 0; index < literals.length; index++) {
    const state = states[index & 3]!;
    literals[index] = table.symbols[state]!;
    states[index & 3] = table.deltas[state]! + bits.take(table.bits[state]!);
  }
  return literals;
}

/** One of the three numbers that a match is made of: its table, its state, and what its symbols stand for. */
class NumberDecoder {
  readonly #table: EntropyTable;
  readonly #extra: readonly number[];
  readonly #bases: readonly number[];
  #state: number;

  constructor(frequencies: Uint16Array, states: number, first: number, extra: readonly number[]) {
    this.#table = entropyTable(frequencies, states);
    this.#extra = extra;
    let base = 0;
    this.#bases = extra.map((bits) => {
      const here = base;
      base += 2 ** bits;
      return here;
    });
    this.#state = first;
  }

  next(bits: BackwardBits): number {
    const state = this.#state;
    const symbol = this.#table.symbols[state]!;
    // The bits of the next state are above those of the number.
    this.#state = this.#table.deltas[state]! + bits.take(this.#table.bits[state]!);
    return this.#bases[symbol]! + bits.take(this.#extra[symbol]!);
  }
}

function readMatches(
  header: BlockHeader,
  payload: Uint8Array,
  literals: Uint8Array,
  output: Uint8Array,
  begin: number,
): void {
  const bits = new BackwardBits(payload, header.matchBits);
  const counts = new NumberDecoder(header.countFrequencies, 64, header.countState, LITERAL_COUNT_BITS);
  const lengths = new NumberDecoder(header.lengthFrequencies, 64, header.lengthState, MATCH_LENGTH_BITS);
  const distances = new NumberDecoder(header.distanceFrequencies, 256, header.distanceState, DISTANCE_BITS);
  let done = begin;
  let used = 0;
  let distance = 0;
  for (let match = 0; match < header.matches; match++) {
    const count = counts.next(bits);
    const length = lengths.next(bits);
    // A distance of 0 is the last one again.
    distance = distances.next(bits) || distance;
    if (used + count > literals.length) throw wrongStream(METHOD, 'it uses more literals than it has');
    if (done + count + length > output.length) throw streamTooLong(METHOD, output.length - begin);
    output.set(literals.subarray(used, used + count), done);
    used += count;
    done += count;
    if (length > 0) copyMatch(METHOD, output, done, distance, length);
    done += length;
  }
  if (done < output.length) throw streamTooShort(METHOD, done - begin, output.length - begin);
}

function zeroes(count: number): number[] {
  return Array.from({ length: count }, () => 0);
}

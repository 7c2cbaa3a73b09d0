/** Small encoders of what Apple's disk images are compressed with: no good at it, but every kind of code comes up. */
import { entropyTable } from '../../src/codec/lzfse-entropy.ts';

interface Match {
  /** Where the literals before it begin. */
  readonly from: number;
  readonly literals: number;
  readonly length: number;
  readonly distance: number;
}

/** Greedy: the last place where the next four bytes stood. The last match may have the length 0. */
function findMatches(data: Uint8Array, longest: number, farthest: number): Match[] {
  const places = new Map<number, number>();
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const matches: Match[] = [];
  let from = 0;
  let at = 0;
  while (at + 4 <= data.length) {
    const key = view.getUint32(at);
    const before = places.get(key);
    places.set(key, at);
    if (before === undefined || at - before > farthest) {
      at++;
      continue;
    }
    let length = 4;
    while (length < longest && at + length < data.length && data[before + length] === data[at + length]) length++;
    matches.push({ from, literals: at - from, length, distance: at - before });
    at += length;
    from = at;
  }
  matches.push({ from, literals: data.length - from, length: 0, distance: 1 });
  return matches;
}

export function encodeAdc(data: Uint8Array): Uint8Array {
  const bytes: number[] = [];
  for (const { from, literals, length, distance } of findMatches(data, 67, 65_536)) {
    for (let done = 0; done < literals; done += 128) {
      const part = data.subarray(from + done, from + Math.min(literals, done + 128));
      bytes.push(0x80 + part.length - 1, ...part);
    }
    if (length === 0) continue;
    const back = distance - 1;
    if (length <= 18 && back < 1024) bytes.push(((length - 3) << 2) + (back >> 8), back & 255);
    else bytes.push(0x40 + length - 4, back >> 8, back & 255);
  }
  return Uint8Array.from(bytes);
}

const ascii = (text: string) => [...new TextEncoder().encode(text)];
const u32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];

export function lzfseStream(...blocks: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from([...blocks.flatMap((block) => [...block]), ...ascii('bvx$')]);
}

export function lzfseRaw(data: Uint8Array): Uint8Array {
  return Uint8Array.from([...ascii('bvx-'), ...u32(data.length), ...data]);
}

/** @param length bytes that it gives */
export function lzvnBlock(payload: Uint8Array, length: number): Uint8Array {
  return Uint8Array.from([...ascii('bvxn'), ...u32(length), ...u32(payload.length), ...payload]);
}

// Frequencies as even as can be, with the number of states as their sum: then each symbol has states that any next state can be reached from.
const evenly = (symbols: number, states: number) =>
  Array.from(
    { length: symbols },
    (_, symbol) => Math.floor(((symbol + 1) * states) / symbols) - Math.floor((symbol * states) / symbols),
  );
const FREQUENCIES = {
  counts: evenly(20, 64),
  lengths: evenly(20, 64),
  distances: evenly(64, 256),
  literals: evenly(256, 1024),
} as const;

const basesOf = (extra: readonly number[]) =>
  extra.map((_, index) => extra.slice(0, index).reduce((a, b) => a + 2 ** b, 0));
const sixteen = Array.from({ length: 16 }, () => 0);
const COUNT_EXTRA = [...sixteen, 2, 3, 5, 8];
const LENGTH_EXTRA = [...sixteen, 3, 5, 8, 11];
const DISTANCE_EXTRA = Array.from({ length: 64 }, (_, symbol) => symbol >> 2);

/** Bits in the order in which they are written; the decoder takes the last ones first. */
class BitsWriter {
  readonly #bits: number[] = [];

  put(value: number, count: number): void {
    for (let bit = 0; bit < count; bit++) this.#bits.push((value >> bit) & 1);
  }

  finish(): { payload: Uint8Array; unused: number } {
    const payload = new Uint8Array(Math.ceil(this.#bits.length / 8));
    this.#bits.forEach((bit, index) => (payload[index >> 3]! |= bit << (index & 7)));
    return { payload, unused: payload.length * 8 - this.#bits.length };
  }
}

/** Goes from the last symbol to the first, as entropy coders of this kind do. */
class StateCoder {
  readonly #table: ReturnType<typeof entropyTable>;
  readonly #states: number;
  state = 0;

  constructor(frequencies: readonly number[], states: number) {
    this.#table = entropyTable(Uint16Array.from(frequencies), states);
    this.#states = states;
  }

  /** Writes what leads from a state of the symbol to the present one. */
  put(bits: BitsWriter, symbol: number): void {
    for (let state = 0; state < this.#states; state++) {
      if (this.#table.symbols[state] !== symbol) continue;
      const [delta, count] = [this.#table.deltas[state]!, this.#table.bits[state]!];
      if (this.state < delta || this.state >= delta + 2 ** count) continue;
      bits.put(this.state - delta, count);
      this.state = state;
      return;
    }
    throw new Error(`no state of symbol ${symbol} leads to ${this.state}`);
  }
}

function symbolOf(value: number, extra: readonly number[]): { symbol: number; rest: number; bits: number } {
  const bases = basesOf(extra);
  const symbol = bases.findLastIndex((base) => base <= value);
  return { symbol, rest: value - bases[symbol]!, bits: extra[symbol]! };
}

/** The code of a frequency. */
const FREQUENCY_CODES: Readonly<Record<number, readonly [code: number, bits: number]>> = { 3: [5, 3], 4: [3, 5] };

/** A block of type `bvx2`. @param data short enough for one block */
export function lzfseMatches(data: Uint8Array): Uint8Array {
  // A match may follow at most 315 literals.
  const matches = findMatches(data, 2000, 200_000).flatMap((match) => split(match));
  const literals = matches.flatMap(({ from, literals: count }) => [...data.subarray(from, from + count)]);
  while (literals.length % 4 !== 0) literals.push(0);
  const first = encodeLiterals(literals);
  const second = encodeMatches(matches);
  const packed = new BitsWriter();
  const { counts, lengths, distances, literals: plain } = FREQUENCIES;
  for (const frequency of [...counts, ...lengths, ...distances, ...plain]) packed.put(...FREQUENCY_CODES[frequency]!);
  const tables = packed.finish().payload;
  const header = new Uint8Array(32);
  const view = new DataView(header.buffer);
  header.set(ascii('bvx2'));
  view.setUint32(4, data.length, true);
  view.setBigUint64(
    8,
    pack([literals.length, 20], [first.payload.length, 20], [matches.length, 20], [7 - first.unused, 3]),
    true,
  );
  const states = first.states.map((state) => [state, 10] as const);
  view.setBigUint64(16, pack(...states, [second.payload.length, 20], [7 - second.unused, 3]), true);
  view.setBigUint64(24, pack([32 + tables.length, 32], ...second.states.map((state) => [state, 10] as const)), true);
  return Uint8Array.from([...header, ...tables, ...first.payload, ...second.payload]);
}

function pack(...fields: readonly (readonly [value: number, bits: number])[]): bigint {
  let at = 0n;
  let packed = 0n;
  for (const [value, bits] of fields) {
    packed |= BigInt(value) << at;
    at += BigInt(bits);
  }
  return packed;
}

function split(match: Match): Match[] {
  const parts: Match[] = [];
  let { from, literals } = match;
  for (; literals > 300; literals -= 300, from += 300) parts.push({ from, literals: 300, length: 0, distance: 1 });
  return [...parts, { ...match, from, literals }];
}

function encodeLiterals(literals: readonly number[]) {
  const bits = new BitsWriter();
  const coders = Array.from({ length: 4 }, () => new StateCoder(FREQUENCIES.literals, 1024));
  for (let index = literals.length - 1; index >= 0; index--) coders[index & 3]!.put(bits, literals[index]!);
  return { ...bits.finish(), states: coders.map(({ state }) => state) };
}

function encodeMatches(matches: readonly Match[]) {
  const bits = new BitsWriter();
  const counts = new StateCoder(FREQUENCIES.counts, 64);
  const lengths = new StateCoder(FREQUENCIES.lengths, 64);
  const distances = new StateCoder(FREQUENCIES.distances, 256);
  const put = (coder: StateCoder, value: number, extra: readonly number[]) => {
    const { symbol, rest, bits: count } = symbolOf(value, extra);
    bits.put(rest, count);
    coder.put(bits, symbol);
  };
  for (const [index, { literals, length, distance }] of [...matches.entries()].toReversed()) {
    // The same distance again is said by 0.
    put(distances, index > 0 && matches[index - 1]!.distance === distance ? 0 : distance, DISTANCE_EXTRA);
    put(lengths, length, LENGTH_EXTRA);
    put(counts, literals, COUNT_EXTRA);
  }
  return { ...bits.finish(), states: [counts.state, lengths.state, distances.state] };
}

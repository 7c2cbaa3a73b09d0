/** Finite state entropy decoding as LZFSE has it: tables of states, and a stream of bits that is read from its end. */
import { wrongStream } from './errors.ts';

export interface EntropyTable {
  readonly symbols: Uint8Array;
  /** How many bits lead from a state to the next. */
  readonly bits: Uint8Array;
  /** What is added to those bits. */
  readonly deltas: Uint16Array;
}

/**
 * Each symbol has as many states as its frequency says. A state that stands for a symbol leads to the next with just so many bits
 * that all states can be reached: `shift` of them, or one less for the states behind the first few.
 *
 * @param frequencies one for each symbol. @param states how many there are, a power of two
 * @throws BlockError `corrupt` when the frequencies are more than that
 */
export function entropyTable(frequencies: Uint16Array, states: number): EntropyTable {
  const table = { symbols: new Uint8Array(states), bits: new Uint8Array(states), deltas: new Uint16Array(states) };
  let state = 0;
  for (const [symbol, frequency] of frequencies.entries()) {
    if (frequency === 0) continue;
    if (state + frequency > states) throw wrongStream('LZFSE', `the frequencies are more than ${states}`);
    const shift = Math.clz32(frequency) - Math.clz32(states);
    const long = ((2 * states) >> shift) - frequency;
    for (let index = 0; index < frequency; index++, state++) {
      const isLong = index < long;
      table.symbols[state] = symbol;
      table.bits[state] = isLong ? shift : shift - 1;
      table.deltas[state] = isLong ? ((frequency + index) << shift) - states : (index - long) << (shift - 1);
    }
  }
  return table;
}

/** Bits of a payload, the last ones first. */
export class BackwardBits {
  readonly #bytes: Uint8Array;
  #position: number;

  /** @param unused how many bits of the last byte hold nothing, 0 to 7 */
  constructor(bytes: Uint8Array, unused: number) {
    this.#bytes = bytes;
    this.#position = bytes.length * 8 - unused;
  }

  /** @param count 0 to 16. @throws BlockError `corrupt` when there are no more */
  take(count: number): number {
    this.#position -= count;
    if (this.#position < 0) throw wrongStream('LZFSE', 'it has not enough bits');
    const at = this.#position >> 3;
    const three = this.#bytes[at]! | ((this.#bytes[at + 1] ?? 0) << 8) | ((this.#bytes[at + 2] ?? 0) << 16);
    return (three >> (this.#position & 7)) & ((1 << count) - 1);
  }
}

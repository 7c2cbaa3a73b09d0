/**
 * A set of numbers below a limit, as pages of bits. A page that holds nothing or everything takes no memory, so a bitmap of a large
 * disk costs what its busy parts cost. Bits lie in bytes as QEMU and the qcow2 specification have them: number n is bit n % 8 of
 * byte n / 8.
 */

const PAGE_BYTES = 4096;
const PAGE_BITS = PAGE_BYTES * 8;

interface Page {
  readonly bytes: Uint8Array<ArrayBuffer>;
  count: number;
}

/** Undefined: none of its numbers is in the set. */
type PageState = Page | 'full' | undefined;

export class GranuleSet {
  #length: number;
  #count = 0;
  readonly #pages: PageState[] = [];

  /** @param length all numbers are below */
  constructor(length: number) {
    this.#length = length;
  }

  get length(): number {
    return this.#length;
  }

  /** How many numbers are in the set. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of its bits that are held in memory. */
  get memoryBytes(): number {
    return this.#pages.reduce((sum, page) => sum + (typeof page === 'object' ? PAGE_BYTES : 0), 0);
  }

  has(number: number): boolean {
    const page = this.#pages[Math.floor(number / PAGE_BITS)];
    if (page === undefined || number >= this.#length) return false;
    return page === 'full' || bitIn(page.bytes, number % PAGE_BITS);
  }

  /** Puts the numbers from `from` up to, without, `to` into the set, or takes them out. */
  fill(from: number, to: number, value: boolean): void {
    const end = Math.min(to, this.#length);
    for (let at = from; at < end;) {
      const page = Math.floor(at / PAGE_BITS);
      const start = page * PAGE_BITS;
      const stop = Math.min(end, start + PAGE_BITS);
      this.#fillPage(page, at - start, stop - start, value);
      at = stop;
    }
  }

  #fillPage(index: number, from: number, to: number, value: boolean): void {
    const state = this.#pages[index];
    if (state === (value ? 'full' : undefined)) return;
    const before = this.#countOf(index);
    if (from === 0 && to === this.#bitsOf(index)) {
      this.#setPage(index, value ? 'full' : undefined, before);
      return;
    }
    const page = this.#materialise(index);
    page.count += fillBits(page.bytes, from, to, value);
    this.#settle(index, page, before);
  }

  /** The first number from `from` on that is in the set (or, for `false`, is not); `length` when there is none. */
  next(from: number, value: boolean): number {
    const whole = value ? 'full' : undefined;
    for (let at = from; at < this.#length;) {
      const index = Math.floor(at / PAGE_BITS);
      const state = this.#pages[index];
      if (state === whole) return at;
      const end = Math.min((index + 1) * PAGE_BITS, this.#length);
      if (typeof state === 'object') {
        const found = index * PAGE_BITS + nextBit(state.bytes, at % PAGE_BITS, value);
        if (found < end) return found;
      }
      at = end;
    }
    return this.#length;
  }

  /** Changes the limit. What is new is not in the set; what lies behind the new limit is forgotten. */
  resize(length: number): void {
    const last = Math.floor((Math.min(length, this.#length) - 1) / PAGE_BITS);
    if (length < this.#length) this.fill(length, this.#length, false);
    // The page at the end may be full only because it was short, or become so.
    const page = this.#pages[last] === undefined ? undefined : this.#materialise(last);
    this.#length = length;
    this.#pages.length = Math.min(this.#pages.length, Math.ceil(length / PAGE_BITS));
    if (page !== undefined) this.#settle(last, page, page.count);
  }

  /** Copies the bytes from `offset` on of all bits in a row; behind the last bit there are zeroes. */
  readBytes(offset: number, into: Uint8Array): void {
    for (let at = 0; at < into.length;) {
      const index = Math.floor((offset + at) / PAGE_BYTES);
      const inPage = (offset + at) % PAGE_BYTES;
      const piece = into.subarray(at, at + PAGE_BYTES - inPage);
      const state = this.#pages[index];
      if (state === undefined) piece.fill(0);
      else {
        const bytes = state === 'full' ? onesUpTo(this.#bitsOf(index)) : state.bytes;
        piece.set(bytes.subarray(inPage, inPage + piece.length));
      }
      at += piece.length;
    }
  }

  /** Takes bits as `readBytes` gave them. Those behind the limit are ignored. */
  writeBytes(offset: number, from: Uint8Array): void {
    const end = Math.min(from.length, Math.ceil(this.#length / 8) - offset);
    for (let at = 0; at < end;) {
      const index = Math.floor((offset + at) / PAGE_BYTES);
      const inPage = (offset + at) % PAGE_BYTES;
      const before = this.#countOf(index);
      const page = this.#materialise(index);
      const piece = from.subarray(at, Math.min(end, at + PAGE_BYTES - inPage));
      page.bytes.set(piece, inPage);
      fillBits(page.bytes, this.#bitsOf(index), PAGE_BITS, false);
      page.count = countBits(page.bytes);
      this.#settle(index, page, before);
      at += piece.length;
    }
  }

  #bitsOf(index: number): number {
    return Math.min(PAGE_BITS, this.#length - index * PAGE_BITS);
  }

  #countOf(index: number): number {
    const state = this.#pages[index];
    if (state === undefined) return 0;
    return state === 'full' ? this.#bitsOf(index) : state.count;
  }

  #materialise(index: number): Page {
    const state = this.#pages[index];
    if (typeof state === 'object') return state;
    const full = state === 'full';
    const bits = this.#bitsOf(index);
    const page = { bytes: full ? onesUpTo(bits) : new Uint8Array(PAGE_BYTES), count: full ? bits : 0 };
    this.#pages[index] = page;
    return page;
  }

  /** After a page has changed. @param before how many it held when the total was right last */
  #settle(index: number, page: Page, before: number): void {
    const { count } = page;
    this.#setPage(index, count === 0 ? undefined : count === this.#bitsOf(index) ? 'full' : page, before);
  }

  #setPage(index: number, state: PageState, before: number): void {
    this.#pages[index] = state;
    this.#count += this.#countOf(index) - before;
  }
}

function bitIn(bytes: Uint8Array, bit: number): boolean {
  return (bytes[bit >> 3]! & (1 << (bit & 7))) !== 0;
}

/** The page of a full set of so many numbers. */
function onesUpTo(bits: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(PAGE_BYTES);
  fillBits(bytes, 0, bits, true);
  return bytes;
}

/** Sets or clears bits of one page. @returns how many more are set now */
function fillBits(bytes: Uint8Array, from: number, to: number, value: boolean): number {
  let more = 0;
  for (let bit = from; bit < to;) {
    const at = bit >> 3;
    const end = Math.min(to, (at + 1) * 8);
    if (end - bit === 8) {
      // Whole bytes in a row.
      const last = to >> 3;
      for (let whole = at; whole < last; whole++) more -= onesIn(bytes[whole]!);
      bytes.fill(value ? 0xff : 0, at, last);
      more += value ? (last - at) * 8 : 0;
      bit = last * 8;
      continue;
    }
    const mask = ((1 << (end - bit)) - 1) << (bit & 7);
    const now = value ? bytes[at]! | mask : bytes[at]! & ~mask;
    more += onesIn(now) - onesIn(bytes[at]!);
    bytes[at] = now;
    bit = end;
  }
  return more;
}

/** The first bit from `from` on that is set or clear; the number of bits when there is none. */
function nextBit(bytes: Uint8Array, from: number, value: boolean): number {
  const boring = value ? 0 : 0xff;
  for (let bit = from; bit < PAGE_BITS;) {
    if ((bit & 7) === 0 && bytes[bit >> 3] === boring) bit += 8;
    else if (bitIn(bytes, bit) === value) return bit;
    else bit++;
  }
  return PAGE_BITS;
}

function countBits(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum + onesIn(byte), 0);
}

function onesIn(byte: number): number {
  const pairs = byte - ((byte >> 1) & 0x55);
  const nibbles = (pairs & 0x33) + ((pairs >> 2) & 0x33);
  return (nibbles + (nibbles >> 4)) & 0x0f;
}

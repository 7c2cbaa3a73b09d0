/**
 * Buffers that are used for the length of one request. A fresh buffer costs ten times the read that fills it, so they are kept
 * and used again; what is in them is garbage until it is written over.
 */
import { REQUEST_PARALLELISM, ZERO_BUFFER_BYTES } from '../limits.ts';

const SMALLEST = 4096;
/** Of each size, this many are kept: as many as a copy has on their way. */
const KEPT = REQUEST_PARALLELISM;

export class BufferPool {
  readonly #free = new Map<number, Uint8Array[]>();

  /** @returns a buffer of exactly `length` bytes; give it back with `release` when nothing can touch it any more. */
  acquire(length: number): Uint8Array {
    const size = sizeClass(length);
    const buffer = this.#free.get(size)?.pop() ?? new Uint8Array(size);
    return buffer.length === length ? buffer : buffer.subarray(0, length);
  }

  release(buffer: Uint8Array): void {
    const whole = buffer.length === buffer.buffer.byteLength ? buffer : new Uint8Array(buffer.buffer);
    if (whole.length > 4 * ZERO_BUFFER_BYTES) return;
    const kept = this.#free.get(whole.length);
    if (kept === undefined) this.#free.set(whole.length, [whole]);
    else if (kept.length < KEPT) kept.push(whole);
  }
}

function sizeClass(length: number): number {
  let size = SMALLEST;
  while (size < length) size *= 2;
  return size;
}

/** Shared by all requests of this thread. */
export const requestBuffers = new BufferPool();

let zeroes: Uint8Array | undefined;

/** A buffer of zeroes to write from. Nobody writes into it. @param length bytes, at most `ZERO_BUFFER_BYTES` */
export function zeroBuffer(length: number): Uint8Array {
  zeroes ??= new Uint8Array(ZERO_BUFFER_BYTES);
  return zeroes.subarray(0, length);
}

/** Whether two buffers of one length hold the same bytes. */
export type EqualBytes = (one: Uint8Array, two: Uint8Array) => boolean;

let equalBytes: EqualBytes | undefined;

/** Gives what compares bytes faster than a loop does, where there is such a thing: Node has one, browsers have none. */
export function useEqualBytes(native: EqualBytes): void {
  equalBytes = native;
}

/** Buffers below this many bytes are looked at before a call of native code would have begun. */
const NATIVE_BYTES = 1024;

/** Whether all bytes are zero. */
export function isZero(bytes: Uint8Array): boolean {
  const { length } = bytes;
  // Data that is not zero mostly shows it at once, and then no view is made and no native code is called.
  if (length > 0 && (bytes[0]! | bytes[Math.floor(length / 2)]! | bytes[length - 1]!) !== 0) return false;
  if (equalBytes === undefined || length < NATIVE_BYTES) return isZeroByWords(bytes);
  for (let at = 0; at < length; at += ZERO_BUFFER_BYTES) {
    const part = bytes.subarray(at, at + ZERO_BUFFER_BYTES);
    if (!equalBytes(part, zeroBuffer(part.length))) return false;
  }
  return true;
}

/** Bytes in a row of which all whole units are zero, or none is. */
export interface ZeroRun {
  readonly zero: boolean;
  /** Where it ends in the buffer. */
  readonly end: number;
}

/**
 * Finds the run of units that begins at `from`.
 *
 * @param firstEnd where the unit ends that `from` lies in; from there on they have `unit` bytes each, the last one perhaps fewer
 */
export function zeroRun(bytes: Uint8Array, from: number, firstEnd: number, unit: number): ZeroRun {
  const { length } = bytes;
  let end = Math.min(firstEnd, length);
  const zero = isZeroPart(bytes, from, end);
  // Zeroes come in long runs: one call for all that is left, before there is one for each unit.
  if (zero && isZeroPart(bytes, end, length)) return { zero, end: length };
  while (end < length) {
    const next = Math.min(end + unit, length);
    // Data mostly shows with its first byte that it is none.
    const isOther = zero ? !isZeroPart(bytes, end, next) : bytes[end] === 0 && isZeroPart(bytes, end, next);
    if (isOther) break;
    end = next;
  }
  return { zero, end };
}

function isZeroPart(bytes: Uint8Array, from: number, end: number): boolean {
  // As `isZero` does, before a view is made for it. One byte mostly tells; each takes a look into memory that is in no cache yet.
  if (from < end && (bytes[from]! !== 0 || bytes[end - 1]! !== 0)) return false;
  return isZero(bytes.subarray(from, end));
}

/** Looks at eight 32-bit words at a time, which is what JavaScript does fastest. */
function isZeroByWords(bytes: Uint8Array): boolean {
  const misaligned = bytes.byteOffset % 4;
  const headLength = Math.min(bytes.length, misaligned === 0 ? 0 : 4 - misaligned);
  for (let i = 0; i < headLength; i++) if (bytes[i] !== 0) return false;
  // A few bytes may end before a word begins.
  if (headLength === bytes.length) return true;
  const wordCount = Math.floor((bytes.length - headLength) / 4);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + headLength, wordCount);
  let word = 0;
  for (; word + 8 <= wordCount; word += 8) {
    // Indexes are inside the array by the loop's condition; the `!` costs nothing at run time.
    const any =
      words[word]! |
      words[word + 1]! |
      words[word + 2]! |
      words[word + 3]! |
      words[word + 4]! |
      words[word + 5]! |
      words[word + 6]! |
      words[word + 7]!;
    if (any !== 0) return false;
  }
  for (; word < wordCount; word++) if (words[word] !== 0) return false;
  for (let i = headLength + wordCount * 4; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** Where two buffers of one length differ first, or -1. */
export function firstDifference(one: Uint8Array, two: Uint8Array): number {
  const length = one.length;
  if (equalBytes?.(one, two) === true) return -1;
  let at = 0;
  if (one.byteOffset % 4 === 0 && two.byteOffset % 4 === 0) {
    const words = Math.floor(length / 4);
    const a = new Uint32Array(one.buffer, one.byteOffset, words);
    const b = new Uint32Array(two.buffer, two.byteOffset, words);
    let word = 0;
    for (; word + 8 <= words; word += 8) {
      const any =
        (a[word]! ^ b[word]!) |
        (a[word + 1]! ^ b[word + 1]!) |
        (a[word + 2]! ^ b[word + 2]!) |
        (a[word + 3]! ^ b[word + 3]!) |
        (a[word + 4]! ^ b[word + 4]!) |
        (a[word + 5]! ^ b[word + 5]!) |
        (a[word + 6]! ^ b[word + 6]!) |
        (a[word + 7]! ^ b[word + 7]!);
      if (any !== 0) break;
    }
    at = word * 4;
  }
  for (; at < length; at++) if (one[at] !== two[at]) return at;
  return -1;
}

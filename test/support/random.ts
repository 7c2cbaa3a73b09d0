/**
 * Seeded random numbers and bytes that tell where they came from. A test that uses them prints its seed when it fails; the same
 * seed gives the same numbers everywhere.
 */

export const SECTOR_BYTES = 512;

/** A small generator (splitmix32): good enough for choosing operations, and the same in every environment. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to 2^32 - 1. */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** A whole number from 0 to `limit - 1`; `limit` is 1 to 2^53. */
  below(limit: number): number {
    if (limit <= 2 ** 32) return this.next() % limit;
    return ((this.next() % 2 ** 21) * 2 ** 32 + this.next()) % limit;
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.next() < probability * 2 ** 32;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error('nothing to pick from');
    return items[this.below(items.length)] as T;
  }

  /** Picks a key with a chance in proportion to its weight. */
  weighted<Key extends string>(weights: Readonly<Partial<Record<Key, number>>>): Key {
    const entries = Object.entries(weights) as [Key, number][];
    let left = this.below(entries.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [key, weight] of entries) {
      if (left < weight) return key;
      left -= weight;
    }
    throw new Error('no weight above zero');
  }

  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let index = shuffled.length - 1; index > 0; index--) {
      const other = this.below(index + 1);
      [shuffled[index], shuffled[other]] = [shuffled[other] as T, shuffled[index] as T];
    }
    return shuffled;
  }

  /** Bytes that nothing compresses. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.next() >>> 24);
  }

  /** Another generator, so that what one part draws does not change what another draws. */
  fork(): Random {
    return new Random(this.next());
  }
}

const PATTERN_MAGIC = 0x57726974; // 'Writ'

/**
 * Bytes for a write in which every sector says the number of its write and the guest sector it was meant for.
 *
 * @param writeNumber 1 or more
 * @param offset guest offset in bytes, of any alignment
 */
export function patternedBytes(writeNumber: number, offset: number, length: number): Uint8Array {
  const firstSector = Math.floor(offset / SECTOR_BYTES);
  const sectors = Math.ceil((offset + length) / SECTOR_BYTES) - firstSector;
  const bytes = new Uint8Array(sectors * SECTOR_BYTES);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < sectors; index++) {
    const start = index * SECTOR_BYTES;
    view.setUint32(start, PATTERN_MAGIC);
    view.setUint32(start + 4, writeNumber);
    view.setUint32(start + 8, Math.floor((firstSector + index) / 2 ** 32));
    view.setUint32(start + 12, (firstSector + index) % 2 ** 32);
    let word = (Math.imul(writeNumber, 0x9e3779b1) ^ Math.imul(firstSector + index, 0x85ebca6b)) | 1;
    for (let position = start + 16; position < start + SECTOR_BYTES; position += 4) {
      word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
      view.setUint32(position, word);
    }
  }
  const skip = offset - firstSector * SECTOR_BYTES;
  return bytes.subarray(skip, skip + length);
}

/** Like `patternedBytes`, and they can be compressed: some writes by much, some by little. */
export function compressibleBytes(writeNumber: number, offset: number, length: number): Uint8Array {
  const skip = offset % SECTOR_BYTES;
  const bytes = patternedBytes(writeNumber, offset - skip, skip + length).slice();
  const noise = 16 + ((writeNumber * 37) % 30) * 16;
  for (let start = 0; start < bytes.length; start += SECTOR_BYTES) {
    const end = Math.min(start + SECTOR_BYTES, bytes.length);
    for (let at = start + noise; at < end; at += 16) bytes.copyWithin(at, start, start + Math.min(16, end - at));
  }
  return bytes.subarray(skip);
}

/** Says in words what a sector holds: zeroes, the sector of a patterned write, or the first bytes of something else. */
export function describeSector(bytes: Uint8Array): string {
  if (isZero(bytes)) return 'zeroes';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length >= 16 && view.getUint32(0) === PATTERN_MAGIC) {
    const writeNumber = view.getUint32(4);
    const sector = view.getUint32(8) * 2 ** 32 + view.getUint32(12);
    const expected = patternedBytes(writeNumber, sector * SECTOR_BYTES, bytes.length);
    const torn = equalBytes(expected, bytes) ? '' : ' (partly something else)';
    return `write ${writeNumber} of guest sector ${sector}${torn}`;
  }
  return `unknown bytes ${Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join(' ')}`;
}

/** Node compares memory at once; a browser has to look at one byte after the other. */
const memoryCompare = (globalThis as { readonly Buffer?: { compare(left: Uint8Array, right: Uint8Array): number } })
  .Buffer?.compare;
const zeroes = new Uint8Array(65_536);

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  if (memoryCompare !== undefined) return memoryCompare(left, right) === 0;
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}

export function isZero(bytes: Uint8Array): boolean {
  for (let start = 0; start < bytes.length; start += zeroes.length) {
    const part = bytes.subarray(start, start + zeroes.length);
    if (!equalBytes(part, zeroes.subarray(0, part.length))) return false;
  }
  return true;
}

import { describe, expect, it } from 'vitest';
import { DirtyBitmap } from '../../../src/block/bitmap/dirty-bitmap.ts';
import { GranuleSet } from '../../../src/block/bitmap/granule-set.ts';
import { Random } from '../../support/random.ts';

/** A set of numbers as an array, which cannot be wrong. */
class PlainSet {
  flags: boolean[];

  constructor(length: number) {
    this.flags = Array.from({ length }, () => false);
  }

  fill(from: number, to: number, value: boolean): void {
    for (let at = from; at < Math.min(to, this.flags.length); at++) this.flags[at] = value;
  }

  resize(length: number): void {
    this.flags = Array.from({ length }, (_value, index) => this.flags[index] === true);
  }

  next(from: number, value: boolean): number {
    const found = this.flags.indexOf(value, from);
    return found < 0 ? this.flags.length : found;
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.flags.length / 8));
    for (const [index, flag] of this.flags.entries()) if (flag) bytes[Math.floor(index / 8)]! |= 1 << (index % 8);
    return bytes;
  }
}

function expectSame(set: GranuleSet, plain: PlainSet, random: Random): void {
  expect(set.length).toBe(plain.flags.length);
  expect(set.count).toBe(plain.flags.filter(Boolean).length);
  for (let look = 0; look < 20; look++) {
    const from = random.below(plain.flags.length + 1);
    expect(set.next(from, true)).toBe(plain.next(from, true));
    expect(set.next(from, false)).toBe(plain.next(from, false));
    expect(set.has(from)).toBe(plain.flags[from] === true);
  }
  const bytes = new Uint8Array(Math.ceil(plain.flags.length / 8));
  set.readBytes(0, bytes);
  expect(Buffer.from(bytes).equals(plain.bytes())).toBe(true);
}

describe('a set of granules', () => {
  it.each([1, 2, 3, 4])('holds what an array of flags holds (seed %i)', (seed) => {
    const random = new Random(seed);
    let length = random.between(1, 100_000);
    const set = new GranuleSet(length);
    const plain = new PlainSet(length);
    for (let step = 0; step < 120; step++) {
      const from = random.below(length);
      const to = random.chance(0.2) ? length : from + random.between(0, random.pick([1, 9, 40_000]));
      switch (random.weighted({ set: 5, clear: 4, resize: 1, take: 1 })) {
        case 'set':
          set.fill(from, to, true);
          plain.fill(from, to, true);
          break;
        case 'clear':
          set.fill(from, to, false);
          plain.fill(from, to, false);
          break;
        case 'resize':
          length = random.chance(0.3) ? 32_768 * random.between(1, 3) : random.between(1, 100_000);
          set.resize(length);
          plain.resize(length);
          break;
        case 'take': {
          const offset = random.below(Math.ceil(length / 8));
          const bytes = Uint8Array.from({ length: random.between(1, 9000) }, () => random.below(256));
          set.writeBytes(offset, bytes);
          const last = Math.min(bytes.length * 8, length - offset * 8);
          for (let bit = 0; bit < last; bit++) {
            plain.flags[offset * 8 + bit] = (bytes[Math.floor(bit / 8)]! & (1 << (bit % 8))) !== 0;
          }
          break;
        }
      }
      expectSame(set, plain, random);
    }
  });

  it('takes no memory for pages that are empty or full', () => {
    const set = new GranuleSet(2 ** 32);
    set.fill(0, 2 ** 32, true);
    expect(set.count).toBe(2 ** 32);
    expect(set.memoryBytes).toBe(0);
    set.fill(12_345, 12_346, false);
    expect(set.memoryBytes).toBe(4096);
    expect(set.next(0, false)).toBe(12_345);
    set.fill(12_345, 12_346, true);
    expect(set.memoryBytes).toBe(0);
  });
});

describe('a dirty bitmap', () => {
  const TiB = 2 ** 40;

  it('of 1 TiB at 64 KiB takes at most 2 MiB', () => {
    const bitmap = new DirtyBitmap({ name: 'b', granularity: 65_536, size: TiB });
    for (let offset = 0; offset < TiB; offset += 2 ** 28) bitmap.setDirty(offset, 1);
    expect(bitmap.memoryBytes).toBeLessThanOrEqual(2 * 2 ** 20);
    expect(bitmap.dirtyBytes).toBe((TiB / 2 ** 28) * 65_536);
  });

  it('makes dirty every granule that a range touches', () => {
    const bitmap = new DirtyBitmap({ name: 'b', granularity: 4096, size: 100_000 });
    bitmap.setDirty(4095, 2);
    bitmap.setDirty(99_999, 1);
    expect([...bitmap.dirtyAreas()]).toEqual([
      { offset: 0, length: 8192 },
      { offset: 98_304, length: 1696 },
    ]);
    expect(bitmap.dirtyBytes).toBe(3 * 4096);
    expect(bitmap.nextDirtyArea(100, 200)).toEqual({ offset: 100, length: 100 });
    expect(bitmap.nextDirtyArea(8192, 98_304)).toBeUndefined();
    bitmap.resetDirty(0, 1);
    expect([...bitmap.dirtyAreas()][0]).toEqual({ offset: 4096, length: 4096 });
  });

  it('merges bitmaps of other granularities, and refuses those of other disks', () => {
    const fine = new DirtyBitmap({ name: 'fine', granularity: 512, size: 65_536 });
    const coarse = new DirtyBitmap({ name: 'coarse', granularity: 8192, size: 65_536 });
    fine.setDirty(9000, 1);
    coarse.merge(fine);
    expect([...coarse.dirtyAreas()]).toEqual([{ offset: 8192, length: 8192 }]);
    fine.merge(coarse);
    expect(fine.dirtyBytes).toBe(8192);
    const other = new DirtyBitmap({ name: 'other', granularity: 512, size: 512 });
    expect(() => fine.merge(other)).toThrow(
      "Bitmaps are of different sizes (destination size is 65536, source size is 512) and can't be merged",
    );
  });

  it('refuses granularities that QEMU refuses', () => {
    for (const granularity of [0, 256, 1000, 2 ** 32, Number.NaN]) {
      expect(() => new DirtyBitmap({ name: 'b', granularity, size: 512 })).toThrow(
        'Granularity must be power of 2 and at least 512',
      );
    }
    expect(() => new DirtyBitmap({ name: 'b', granularity: 512, size: 4 * TiB })).toThrow('Too much space');
  });

  it('says whether it changed since it was stored', () => {
    const bitmap = new DirtyBitmap({ name: 'b', granularity: 512, size: 4096 });
    expect(bitmap.changed).toBe(false);
    bitmap.setDirty(0, 4096);
    expect(bitmap.changed).toBe(true);
    bitmap.markStored();
    bitmap.setDirty(512, 512);
    expect(bitmap.changed).toBe(false);
    bitmap.resize(8192);
    expect(bitmap.changed).toBe(true);
  });
});

import { describe, expect, test } from 'vitest';
import { isZero, zeroRun } from '../../../src/block/io/buffers.ts';
import { Random } from '../../support/random.ts';

const allZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** Mostly zero, so that runs of both kinds meet at every place of a unit. */
function sparse(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let count = random.below(4); count > 0; count--) bytes[random.below(length)] = 1 + random.below(255);
  return bytes;
}

describe('looking for zeroes', () => {
  test.each([7, 64, 1023, 1024, 4097])('finds one byte that is not zero anywhere in %i', (length) => {
    const bytes = new Uint8Array(length + 3);
    expect(isZero(bytes.subarray(3))).toBe(true);
    for (let at = 3; at < bytes.length; at++) {
      bytes[at] = 0x80;
      expect(isZero(bytes.subarray(3)), `byte ${at - 3}`).toBe(false);
      bytes[at] = 0;
    }
  });

  test('gives runs of units that are all zero or all not, as long as they go', () => {
    const random = new Random(Date.now());
    for (let round = 0; round < 300; round++) {
      const unit = 2 ** (4 + random.below(6));
      const bytes = sparse(random, 1 + random.below(8 * unit));
      const seen = `seed ${random.seed}, round ${round}`;
      const firstUnit = 1 + random.below(unit);
      for (let from = 0, unitEnd = firstUnit; from < bytes.length;) {
        const { zero, end } = zeroRun(bytes, from, unitEnd, unit);
        expect(allZero(bytes.subarray(from, unitEnd)), seen).toBe(zero);
        for (let at = unitEnd; at < end; at += unit) expect(allZero(bytes.subarray(at, at + unit)), seen).toBe(zero);
        expect(end === bytes.length || (end - firstUnit) % unit === 0, seen).toBe(true);
        if (end < bytes.length) expect(allZero(bytes.subarray(end, end + unit)), seen).toBe(!zero);
        from = end;
        unitEnd = end + unit;
      }
    }
  });
});

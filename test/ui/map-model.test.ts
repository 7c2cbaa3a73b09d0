import { describe, expect, test } from 'vitest';
import { CLASSES, DATA, DEEPEST, MapModel, UNALLOCATED, ZERO, type MapExtent } from '../../src/ui/inspect/map-model.ts';

const data = (offset: number, length: number, depth = 0): MapExtent => ({
  offset,
  length,
  depth,
  present: true,
  data: true,
  zero: false,
});
const zero = (offset: number, length: number): MapExtent => ({ ...data(offset, length), data: false, zero: true });
const nothing = (offset: number, length: number): MapExtent => ({ ...zero(offset, length), present: false });

/** The cells of a model, as readable lines: class to bytes. */
function cells(model: MapModel, count: number): Record<number, number>[] {
  const sums = model.cells(count);
  return Array.from({ length: count }, (_, cell) => {
    const bytes = [...sums.subarray(cell * CLASSES, (cell + 1) * CLASSES)];
    return Object.fromEntries(bytes.map((sum, kind) => [kind, sum]).filter(([, sum]) => sum !== 0));
  });
}

describe('allocation map', () => {
  test('cells hold the bytes of each class, whatever the borders', () => {
    const model = new MapModel(100);
    model.add(data(0, 30));
    model.add(zero(30, 10));
    model.add(data(40, 25, 1));
    model.add(nothing(65, 35));
    expect(cells(model, 4)).toEqual([
      { [DATA]: 25 },
      { [DATA]: 5, [ZERO]: 10, [DATA + 1]: 10 },
      { [DATA + 1]: 15, [UNALLOCATED]: 10 },
      { [UNALLOCATED]: 25 },
    ]);
  });

  test('more cells than bytes lose nothing', () => {
    const model = new MapModel(3);
    model.add(data(0, 1));
    model.add(zero(1, 2));
    const sums = model.cells(7);
    expect(sums.reduce((sum, bytes) => sum + bytes, 0)).toBeCloseTo(3);
  });

  test('finds what a byte belongs to, and joins neighbours that are alike', () => {
    const model = new MapModel(1000);
    model.add(data(0, 100));
    model.add(data(100, 100));
    model.add(data(200, 100, 2));
    model.add(nothing(300, 700));
    expect(model.count).toBe(3);
    expect(model.at(150)).toEqual({ offset: 0, length: 200, kind: DATA, depth: 0, compressed: false });
    expect(model.at(200)).toMatchObject({ offset: 200, length: 100, kind: DATA + 2, depth: 2 });
    expect(model.at(999)).toMatchObject({ offset: 300, length: 700, kind: UNALLOCATED });
    expect(model.at(1000)).toBeUndefined();
    expect(new MapModel(10).at(0)).toBeUndefined();
  });

  test('deep layers share a class and keep their depth', () => {
    const model = new MapModel(20);
    model.add(data(0, 10, 7));
    model.add(data(10, 10, 8));
    expect(model.count).toBe(2);
    expect(model.at(15)).toMatchObject({ kind: DATA + DEEPEST, depth: 8 });
    expect(model.totals[DATA + DEEPEST]).toBe(20);
  });

  test('compressed data is told apart', () => {
    const model = new MapModel(20);
    model.add({ ...data(0, 10), compressed: true });
    model.add(data(10, 10));
    expect(model.at(0)).toMatchObject({ kind: DATA, compressed: true, length: 10 });
    expect(model.compressedBytes).toBe(10);
  });

  test('a million extents are added up in a moment', () => {
    const count = 1_000_000;
    const model = new MapModel(count * 65_536);
    for (let index = 0; index < count; index++) {
      model.add(index % 2 === 0 ? data(index * 65_536, 65_536) : nothing(index * 65_536, 65_536));
    }
    const began = performance.now();
    const sums = model.cells(1300);
    expect(performance.now() - began).toBeLessThan(500);
    expect(model.count).toBe(count);
    expect(sums.reduce((sum, bytes) => sum + bytes, 0) / (count * 65_536)).toBeCloseTo(1, 9);
  });
});

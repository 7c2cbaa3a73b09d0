import { describe, expect, test } from 'vitest';
import { isPromise, startAsync } from '../../../src/block/co.ts';
import { BlockError } from '../../../src/block/error.ts';
import type { BlockBackend } from '../../../src/block/graph/backend.ts';
import type { ImageNode } from '../../../src/block/graph/image-node.ts';
import { imageMap } from '../../../src/block/image/map.ts';
import type { BlockStatus } from '../../../src/block/extent.ts';
import { coreGraph } from '../../support/core-graph.ts';
import { CountingStorage } from '../../support/counting-storage.ts';
import { FailingStorage } from '../../support/failing-storage.ts';
import { UNIT, type MappedImage } from '../../support/mapped-format.ts';
import { equalBytes, Random } from '../../support/random.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const SIZE = 32 * UNIT;
const BASE_SIZE = 20 * UNIT + 1536;
const given = (name: string) => ({ driver: 'given', name });

/** A base whose every byte is 1 to 251. */
const baseBytes = Uint8Array.from({ length: BASE_SIZE }, (_, i) => (i % 251) + 1);

/** What an overlay over the base reads as at first: zeroes past the end of the base. */
function fresh(): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  bytes.set(baseBytes);
  return bytes;
}

async function openOverlay(options: { random?: Random; mayWait?: boolean } = {}): Promise<BlockBackend> {
  const { random, mayWait = false } = options;
  const simulate = (initial: Uint8Array) =>
    new SimulatedStorage(random === undefined ? { initial } : { initial, random });
  const graph = coreGraph({ top: simulate(new Uint8Array(0)), base: simulate(baseBytes) });
  return graph.open({
    driver: 'mapped',
    size: SIZE,
    'may-wait': mayWait,
    file: given('top'),
    backing: { driver: 'raw', file: given('base') },
  });
}

/** `toEqual` looks at every byte as an object's property: seconds for a disk. */
function expectBytes(actual: Uint8Array, expected: Uint8Array): void {
  const differsAt = equalBytes(actual, expected) ? -1 : actual.findIndex((byte, i) => byte !== expected[i]);
  expect(differsAt, 'the first byte that differs').toBe(-1);
}

async function readAll(disk: BlockBackend): Promise<Uint8Array> {
  const bytes = new Uint8Array(disk.length).fill(0xee);
  await disk.read(0, bytes);
  return bytes;
}

describe('a synchronous graph', () => {
  test('answers without a promise, also where it allocates and copies edges', async () => {
    const disk = await openOverlay();
    expect(disk.synchronous).toBe(true);
    const model = fresh();
    const data = new Uint8Array(700).fill(0xaa);
    expect(isPromise(disk.write(UNIT - 300, data))).toBe(false);
    model.set(data, UNIT - 300);
    disk.writeSync(5 * UNIT + 10, data);
    model.set(data, 5 * UNIT + 10);
    const bytes = new Uint8Array(SIZE);
    disk.readSync(0, bytes);
    expectBytes(bytes, model);
    disk.flushSync();
  });

  test('is refused its synchronous calls when a storage must be waited for', async () => {
    const disk = await openOverlay({ random: new Random(1) });
    expect(() => disk.readSync(0, new Uint8Array(512))).toThrow(BlockError);
    expect(() => disk.readSync(0, new Uint8Array(512))).toThrow('must be waited for');
  });
});

describe('bounds', () => {
  test.each([
    [SIZE, 1],
    [-512, 512],
    [SIZE - 511, 512],
    [0.5, 1],
    [Number.NaN, 1],
    [2 ** 53, 512],
  ])('a request at %d of %d bytes is refused', async (offset, length) => {
    const disk = await openOverlay();
    expect(() => disk.read(offset, new Uint8Array(length))).toThrow('not inside the disk');
    expect(() => disk.write(offset, new Uint8Array(length))).toThrow('not inside the disk');
    expect(() => disk.discard(offset, length)).toThrow('not inside the disk');
  });

  test('a request of no bytes is answered', async () => {
    const disk = await openOverlay();
    expect(isPromise(disk.read(SIZE, new Uint8Array(0)))).toBe(false);
    expect(isPromise(disk.write(SIZE, new Uint8Array(0)))).toBe(false);
  });
});

describe('random requests side by side agree with a flat array', () => {
  // Requests that overlap and are in flight together may land in either order, so they are issued over ranges that are apart,
  // down to the byte: units are shared all the time.
  test.each(Array.from({ length: 40 }, (_, seed) => seed))('seed %d', async (seed) => {
    const random = new Random(seed);
    const disk = await openOverlay({ random: new Random(seed + 1000), mayWait: random.chance(0.5) });
    const model = fresh();
    for (let round = 0; round < 12; round++) {
      const cuts = Array.from({ length: 13 }, () => random.below(SIZE)).toSorted((a, b) => a - b);
      const requests: Promise<void>[] = [];
      for (let i = 0; i + 1 < cuts.length; i++) {
        const [from, to] = [cuts[i]!, cuts[i + 1]!];
        if (from === to) continue;
        const verb = random.weighted({ write: 5, zero: 2, read: 3, discard: 1 });
        if (verb === 'write') {
          const data = new Uint8Array(to - from).fill(1 + random.below(255));
          model.set(data, from);
          requests.push(Promise.resolve(disk.write(from, data)));
        } else if (verb === 'zero') {
          model.fill(0, from, to);
          requests.push(Promise.resolve(disk.writeZeroes(from, to - from, { mayUnmap: random.chance(0.5) })));
        } else if (verb === 'discard') {
          const [first, last] = [Math.ceil(from / UNIT) * UNIT, to === SIZE ? to : Math.floor(to / UNIT) * UNIT];
          if (first < last) model.fill(0, first, last);
          requests.push(Promise.resolve(disk.discard(from, to - from)));
        } else {
          const expected = model.slice(from, to);
          const buffer = new Uint8Array(to - from).fill(0xee);
          requests.push(Promise.resolve(disk.read(from, buffer)).then(() => expectBytes(buffer, expected)));
        }
      }
      await Promise.all(requests);
      expectBytes(await readAll(disk), model);
    }
  });
});

describe('requests of one unit', () => {
  test('small writes of neighbours that allocate the same unit all survive', async () => {
    for (let seed = 0; seed < 30; seed++) {
      const disk = await openOverlay({ random: new Random(seed) });
      const model = fresh();
      const writes = Array.from({ length: 16 }, (_, i) => {
        const data = new Uint8Array(256).fill(i + 1);
        model.set(data, i * 256);
        return disk.write(i * 256, data);
      });
      await Promise.all(writes.map((write) => Promise.resolve(write)));
      expectBytes(await readAll(disk), model);
    }
  });

  test('the allocation of a failed write is aborted, and the unit keeps its content', async () => {
    const top = new FailingStorage(new SimulatedStorage(), { verbs: ['write'], nth: 1, times: 1, kind: 'no-space' });
    const graph = coreGraph({ top, base: new SimulatedStorage({ initial: baseBytes }) });
    const disk = await graph.open({
      driver: 'mapped',
      size: SIZE,
      file: given('top'),
      backing: { driver: 'raw', file: given('base') },
    });
    expect(() => disk.write(100, new Uint8Array(10))).toThrow('was made to fail');
    expectBytes(await readAll(disk), fresh());
    await disk.write(100, new Uint8Array(10));
    const model = fresh();
    model.fill(0, 100, 110);
    expectBytes(await readAll(disk), model);
    await graph.close(disk);
  });
});

describe('what requests cost', () => {
  async function counted(): Promise<{
    disk: BlockBackend;
    top: CountingStorage;
    base: CountingStorage;
    image: MappedImage;
  }> {
    const top = new CountingStorage(new SimulatedStorage());
    const base = new CountingStorage(new SimulatedStorage({ initial: baseBytes }));
    const graph = coreGraph({ top, base });
    const disk = await graph.open({
      driver: 'mapped',
      size: SIZE,
      file: given('top'),
      backing: { driver: 'raw', file: given('base') },
    });
    return { disk, top, base, image: (disk.node as ImageNode).image as MappedImage };
  }

  test('a small allocating write is two reads of the base and one write', async () => {
    const { disk, top, base } = await counted();
    disk.writeSync(UNIT + 512, new Uint8Array(512).fill(1));
    expect(base.counts.reads).toBe(2);
    expect(top.counts.writes).toBe(1);
    expect(top.counts.writtenBytes).toBe(UNIT);
  });

  test('a write that covers a unit reads nothing, and zeroes where nothing is cost nothing', async () => {
    const { disk, top, base } = await counted();
    disk.writeSync(UNIT, new Uint8Array(UNIT).fill(1));
    expect(base.counts.reads).toBe(0);
    await disk.writeZeroes(24 * UNIT + 100, 1000);
    expect(top.counts.writes).toBe(1);
  });

  test('a flush with nothing written since the last does not reach the storage', async () => {
    const { disk, top } = await counted();
    disk.flushSync();
    expect(top.counts.flushes).toBe(0);
    disk.writeSync(0, new Uint8Array(UNIT));
    disk.flushSync();
    disk.flushSync();
    expect(top.counts.flushes).toBe(1);
  });

  test('statistics count what reached each node', async () => {
    const { disk } = await counted();
    disk.writeSync(UNIT, new Uint8Array(UNIT).fill(1));
    disk.readSync(0, new Uint8Array(2 * UNIT));
    disk.flushSync();
    expect(disk.node.statistics.snapshot()).toMatchObject({
      wr_bytes: UNIT,
      wr_operations: 1,
      rd_bytes: 2 * UNIT,
      rd_operations: 1,
      flush_operations: 1,
      wr_highest_offset: 2 * UNIT,
      failed_rd_operations: 0,
    });
  });
});

describe('block status', () => {
  test('names layer, kind and place of every range, and joins neighbours', async () => {
    const disk = await openOverlay();
    disk.writeSync(2 * UNIT, new Uint8Array(2 * UNIT).fill(1));
    await disk.writeZeroes(4 * UNIT, UNIT);
    const list: BlockStatus[] = [];
    await startAsync(imageMap(disk.node, 0, SIZE, (status) => list.push(status)));
    expect(list.map(({ offset, length, depth, data, zero }) => ({ offset, length, depth, data, zero }))).toEqual([
      { offset: 0, length: 2 * UNIT, depth: 1, data: true, zero: false },
      { offset: 2 * UNIT, length: 2 * UNIT, depth: 0, data: true, zero: false },
      { offset: 4 * UNIT, length: UNIT, depth: 0, data: false, zero: true },
      { offset: 5 * UNIT, length: BASE_SIZE - 5 * UNIT, depth: 1, data: true, zero: false },
      { offset: BASE_SIZE, length: SIZE - BASE_SIZE, depth: 0, data: false, zero: true },
    ]);
  });
});

describe('storage that takes whole blocks only', () => {
  test.each([512, 4096])('a guest may read and write any bytes over blocks of %d', async (requestAlignment) => {
    for (let seed = 0; seed < 20; seed++) {
      const random = new Random(seed);
      const initial = new Uint8Array(16 * 4096).fill(7);
      const graph = coreGraph({
        a: new SimulatedStorage({
          initial,
          random: new Random(seed + 1),
          limits: { requestAlignment, writeZeroesAlignment: requestAlignment },
        }),
      });
      const disk = await graph.open({ driver: 'raw', file: given('a') });
      const model = initial.slice();
      const writes: unknown[] = [];
      const cuts = Array.from({ length: 20 }, () => random.below(model.length)).toSorted((a, b) => a - b);
      for (let i = 0; i + 1 < cuts.length; i++) {
        const data = new Uint8Array(cuts[i + 1]! - cuts[i]!).fill(i + 1);
        model.set(data, cuts[i]);
        writes.push(
          random.chance(0.8)
            ? disk.write(cuts[i]!, data)
            : (model.fill(0, cuts[i], cuts[i + 1]), disk.writeZeroes(cuts[i]!, data.length)),
        );
      }
      await Promise.all(writes.map((write) => Promise.resolve(write)));
      expectBytes(await readAll(disk), model);
      const some = new Uint8Array(1000);
      await disk.read(333, some);
      expectBytes(some, model.slice(333, 1333));
    }
  });
});

describe('drained sections', () => {
  test('hold requests back until they end, and wait for those in flight', async () => {
    const a = new SimulatedStorage({ initial: new Uint8Array(8192), random: new Random(1) });
    const graph = coreGraph({ a });
    const disk = await graph.open({ driver: 'raw', file: given('a') });
    const events: string[] = [];
    const before = disk.write(0, new Uint8Array(512).fill(9));
    let during: unknown;
    await startAsync(
      graph.drained(disk.node, function* () {
        const written = new Uint8Array(1);
        a.content.read(0, written);
        events.push(`drained, ${written[0]} is written`);
        during = Promise.resolve(disk.read(0, new Uint8Array(512))).then(() => events.push('read'));
        yield new Promise((resolve) => {
          setTimeout(resolve, 20);
        });
        events.push('end');
      }),
    );
    await Promise.all([before, during]);
    expect(events).toEqual(['drained, 9 is written', 'end', 'read']);
  });
});

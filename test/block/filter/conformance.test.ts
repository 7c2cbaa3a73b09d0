/** What every filter promises: nothing that is read changes, whatever requests pass through it. */
import { describe, expect, test } from 'vitest';
import { isPromise } from '../../../src/block/co.ts';
import { filterDrivers, ThrottleGroup } from '../../../src/block/filter/index.ts';
import type { BlockGraph } from '../../../src/block/graph/graph.ts';
import { createQcow2 } from '../../support/qcow2-builder.ts';
import { coreGraph } from '../../support/core-graph.ts';
import { UNIT } from '../../support/mapped-format.ts';
import { equalBytes, Random } from '../../support/random.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const SIZE = 24 * UNIT;
const given = (name: string) => ({ driver: 'given', name });

/** An overlay on a base, so that there is something for copy-on-read to do. */
const overlay = {
  driver: 'mapped',
  size: SIZE,
  file: given('top'),
  backing: { driver: 'raw', file: given('base') },
};

/** Options of each filter over the overlay, more than one set where options change how requests pass. */
const cases: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>> = {
  blkdebug: [
    { image: overlay },
    { image: overlay, align: 1024, 'max-transfer': 2048, 'opt-write-zero': 4096, 'max-write-zero': 8192 },
    { image: overlay, align: 4096, 'opt-discard': 8192, 'max-discard': 8192 },
  ],
  compress: [{ file: { driver: 'qcow2', file: given('image'), backing: { driver: 'raw', file: given('base') } } }],
  blkverify: [{ test: overlay, raw: { driver: 'raw', file: given('copy') } }],
  'copy-on-read': [{ file: overlay }, { file: overlay, bottom: 'base-node' }],
  preallocate: [{ file: { driver: 'raw', file: given('flat') }, 'prealloc-size': 65536, 'prealloc-align': 4096 }],
  throttle: [{ file: overlay, 'throttle-group': 'unlimited' }],
};

function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.next() % 256);
}

async function openCase(
  driver: string,
  options: Readonly<Record<string, unknown>>,
  random: Random | undefined,
): Promise<{ graph: BlockGraph; model: Uint8Array; disk: Awaited<ReturnType<BlockGraph['open']>> }> {
  const base = new Uint8Array(SIZE).map((_, i) => (i % 251) + 1);
  const simulate = (initial: Uint8Array) =>
    new SimulatedStorage(random === undefined ? { initial } : { initial, random });
  const graph = coreGraph({
    top: simulate(new Uint8Array(0)),
    base: simulate(base.slice()),
    copy: simulate(base.slice()),
    flat: simulate(base.slice()),
    image: simulate(await createQcow2({ size: SIZE, cluster_size: UNIT })),
  });
  graph.objects.add('unlimited', new ThrottleGroup());
  if (options['bottom'] !== undefined) {
    await graph.add({ driver: 'raw', 'node-name': 'base-node', file: given('base'), 'read-only': true });
    const file = { ...overlay, backing: 'base-node' };
    return { graph, model: base.slice(), disk: await graph.open({ driver, ...options, file }) };
  }
  return { graph, model: base.slice(), disk: await graph.open({ driver, ...options }) };
}

describe('filters', () => {
  test('every filter has a case here', () => {
    expect(Object.keys(cases).toSorted()).toEqual(filterDrivers.map(({ name }) => name).toSorted());
  });

  for (const [driver, sets] of Object.entries(cases)) {
    test.each(sets.map((options, index) => ({ index, options })))(
      `${driver}, options $index: agrees with a flat array`,
      async ({ options }) => {
        const seed = 7;
        const random = new Random(seed);
        const { graph, disk, model } = await openCase(driver, options, new Random(seed + 1));
        for (let step = 0; step < 200; step++) {
          const offset = random.below(SIZE);
          const length = random.below(Math.min(SIZE - offset, 3 * UNIT)) + 1;
          const verb = random.below(4);
          if (verb === 0) {
            const data = randomBytes(random, length);
            await disk.write(offset, data);
            model.set(data, offset);
          } else if (verb === 1) {
            await disk.writeZeroes(offset, length, { mayUnmap: random.below(2) === 0 });
            model.fill(0, offset, offset + length);
          } else {
            const buffer = new Uint8Array(length).fill(0xee);
            await disk.read(offset, buffer);
            expect(equalBytes(buffer, model.slice(offset, offset + length)), `seed ${seed} step ${step}`).toBe(true);
          }
          if (step % 50 === 49) await disk.flush();
        }
        await graph.close(disk);
      },
    );

    test(`${driver}: reads beside one another and beside writes`, async () => {
      const random = new Random(11);
      const { graph, disk, model } = await openCase(driver, sets[0]!, new Random(12));
      for (let round = 0; round < 20; round++) {
        const writes = Array.from({ length: 4 }, (_, i) => {
          const offset = i * 6 * UNIT + random.below(2 * UNIT);
          const data = randomBytes(random, random.below(3 * UNIT) + 1);
          model.set(data, offset);
          return disk.write(offset, data);
        });
        const reads = Array.from({ length: 4 }, () => {
          // Two images never change at the same moment: what is read while it is written is nothing to compare.
          const offset = driver === 'blkverify' ? random.below(4) * 6 * UNIT + 5 * UNIT : random.below(SIZE - UNIT);
          return disk.read(offset, new Uint8Array(UNIT));
        });
        await Promise.all([...writes, ...reads]);
        const whole = new Uint8Array(SIZE);
        await disk.read(0, whole);
        expect(equalBytes(whole, model), `round ${round}`).toBe(true);
      }
      await graph.close(disk);
    });
  }

  test.each(['blkverify', 'copy-on-read', 'preallocate'])('%s never waits over synchronous storage', async (driver) => {
    const { graph, disk } = await openCase(driver, cases[driver]![0]!, undefined);
    expect(disk.synchronous).toBe(true);
    const buffer = new Uint8Array(3 * UNIT);
    expect(isPromise(disk.read(100, buffer))).toBe(false);
    disk.writeSync(UNIT + 5, buffer);
    disk.flushSync();
    await graph.close(disk);
  });
});

import { describe, expect, test } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import type { BlockBackend } from '../../../src/block/graph/backend.ts';
import { blockStatusList } from '../../../src/block/io/status.ts';
import type { CheckResult, Storage } from '../../../src/block/driver.ts';
import { checkImage } from '../../../src/block/image/check.ts';
import { FailingStorage } from '../../support/failing-storage.ts';
import { createQcow2 } from '../../support/qcow2-builder.ts';
import { equalBytes, Random } from '../../support/random.ts';
import { coreGraph } from '../../support/core-graph.ts';
import { CountingStorage } from '../../support/counting-storage.ts';
import { UNIT } from '../../support/mapped-format.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const SIZE = 16 * UNIT;
const given = (name: string) => ({ driver: 'given', name });

async function openChain(filter: Readonly<Record<string, unknown>> = {}): Promise<{
  disk: BlockBackend;
  base: CountingStorage;
  top: CountingStorage;
  graph: ReturnType<typeof coreGraph>;
}> {
  const base = new CountingStorage(new SimulatedStorage({ initial: new Uint8Array(SIZE).fill(7) }));
  const top = new CountingStorage(new SimulatedStorage());
  const graph = coreGraph({ base, top, middle: new SimulatedStorage() });
  await graph.add({ driver: 'raw', 'node-name': 'base', file: given('base'), 'read-only': true });
  // The table of the test format lives as long as its node.
  const options = { driver: 'mapped', 'node-name': 'middle', size: SIZE, file: given('middle'), backing: 'base' };
  const writer = await graph.open(options);
  writer.writeSync(UNIT, new Uint8Array(UNIT).fill(8));
  graph.detach(writer.root);
  const file = { driver: 'mapped', size: SIZE, file: given('top'), backing: 'middle' };
  return { disk: await graph.open({ driver: 'copy-on-read', file, ...filter }), base, top, graph };
}

const bytesAt = (disk: BlockBackend, offset: number, length: number): number[] => {
  const buffer = new Uint8Array(length);
  disk.readSync(offset, buffer);
  return [...new Set(buffer)];
};

describe('copy-on-read', () => {
  test('what was read is in the image, whole units of it, and is not fetched again', async () => {
    const { disk, base, top } = await openChain();
    base.take();
    expect(bytesAt(disk, 3 * UNIT + 100, UNIT)).toEqual([7]);
    expect(base.take()).toMatchObject({ readBytes: 2 * UNIT });
    expect(top.take()).toMatchObject({ writtenBytes: 2 * UNIT });
    expect(bytesAt(disk, 3 * UNIT, 2 * UNIT)).toEqual([7]);
    expect(base.take().reads).toBe(0);
    const held = await startAsync(blockStatusList(disk.node, 0, SIZE));
    expect(held.filter(({ depth }) => depth === 0).map(({ offset, length }) => [offset, length])).toEqual([
      [3 * UNIT, 2 * UNIT],
    ]);
  });

  test('the event comes before the write', async () => {
    const { disk } = await openChain();
    const events: string[] = [];
    disk.node.below!.onEvent = (name) => events.push(name);
    bytesAt(disk, 0, 512);
    expect(events).toEqual(['cor_write']);
  });

  test('with `bottom` only what the layers down to it hold is copied', async () => {
    const { disk, top } = await openChain({ bottom: 'middle' });
    top.take();
    expect(bytesAt(disk, 0, 3 * UNIT)).toEqual([7, 8]);
    expect(top.take()).toMatchObject({ writtenBytes: UNIT });
    await expect(openChain({ bottom: 'nobody' })).rejects.toThrow("Node 'nobody' is not in the chain");
  });

  test('what cannot be written cannot be copied to', async () => {
    await expect(openChain({ 'read-only': true })).rejects.toMatchObject({ kind: 'permission' });
  });
});

describe('copy-on-read into qcow2', () => {
  const CLUSTER = 16384;
  const DISK = 16 * CLUSTER;
  const baseBytes = Uint8Array.from({ length: DISK }, (_, i) => (i % 251) + 1);

  async function openQcow2(create: Readonly<Record<string, unknown>>, wrap: (storage: Storage) => Storage) {
    const image = new SimulatedStorage({
      initial: await createQcow2({ size: DISK, cluster_size: CLUSTER, ...create }),
    });
    const graph = coreGraph({ image: wrap(image), base: new SimulatedStorage({ initial: baseBytes.slice() }) });
    const backing = { driver: 'raw', file: given('base') };
    const file = { driver: 'qcow2', file: given('image'), backing, 'backing-identity': 'ignore' };
    return { graph, image, disk: await graph.open({ driver: 'copy-on-read', file }) };
  }

  test.each([{}, { extended_l2: true }])('%o: reads and writes beside one another lose nothing', async (create) => {
    const random = new Random(5);
    const { graph, disk, image } = await openQcow2(create, (storage) => storage);
    const model = baseBytes.slice();
    for (let step = 0; step < 300; step++) {
      const offset = random.below(DISK - 1);
      const length = Math.min(DISK - offset, random.between(1, random.chance(0.5) ? 700 : 2 * CLUSTER));
      if (random.chance(0.4)) {
        const data = new Uint8Array(length).fill(step % 256);
        model.set(data, offset);
        await disk.write(offset, data);
      } else {
        const buffer = new Uint8Array(length);
        await disk.read(offset, buffer);
        expect(equalBytes(buffer, model.slice(offset, offset + length)), `seed 5 step ${step}`).toBe(true);
      }
    }
    await graph.close(disk);
    const result = await qcow2Check(image);
    expect(result).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
  });

  test('whatever request to the image fails, what is read afterwards is right', async () => {
    for (let nth = 1; ; nth++) {
      let failing: FailingStorage | undefined;
      const rule = { verbs: ['write', 'read', 'flush'] as const, nth, times: 1, kind: 'io' as const };
      const opened = await openQcow2({}, (storage) => (failing = new FailingStorage(storage, rule))).catch(
        () => undefined,
      );
      if (opened === undefined) continue;
      const { graph, disk } = opened;
      for (let offset = 0; offset < DISK; offset += 3 * CLUSTER)
        await attempt(() => disk.read(offset, new Uint8Array(CLUSTER)));
      await attempt(() => disk.flush());
      const failures = failing!.failures;
      const buffer = new Uint8Array(DISK);
      await attempt(() => disk.read(0, buffer));
      await disk.read(0, buffer);
      expect(equalBytes(buffer, baseBytes), `request ${nth} failed`).toBe(true);
      await attempt(() => graph.close(disk));
      if (failures === 0) {
        expect(nth).toBeGreaterThan(10);
        return;
      }
    }
  });
});

async function attempt(request: () => unknown): Promise<void> {
  try {
    await request();
  } catch (error) {
    expect(error).toMatchObject({ name: 'BlockError' });
  }
}

async function qcow2Check(image: SimulatedStorage): Promise<CheckResult> {
  const graph = coreGraph({ image: new SimulatedStorage({ initial: image.content.toBytes() }) });
  const disk = await graph.open({ driver: 'qcow2', file: given('image'), 'read-only': true }, { check: true });
  return startAsync(checkImage(graph, disk.node, 'none'));
}

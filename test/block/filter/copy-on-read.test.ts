import { describe, expect, test } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import type { BlockBackend } from '../../../src/block/graph/backend.ts';
import { blockStatusList } from '../../../src/block/io/status.ts';
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

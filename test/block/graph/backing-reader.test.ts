import { describe, expect, test, vi } from 'vitest';
import type { BlockBackend } from '../../../src/block/graph/backend.ts';
import type { ImageNode } from '../../../src/block/graph/image-node.ts';
import { coreGraph } from '../../support/core-graph.ts';
import { CountingStorage } from '../../support/counting-storage.ts';
import { UNIT, type MappedImage } from '../../support/mapped-format.ts';
import { equalBytes, Random } from '../../support/random.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const SIZE = 64 * UNIT;
const given = (name: string) => ({ driver: 'given', name });

interface Chain {
  readonly disk: BlockBackend;
  readonly layers: CountingStorage[];
  readonly model: Uint8Array;
}

/** A chain in which each layer holds a few units that the ones below hold differently. */
async function openChain(depth: number, random: Random): Promise<Chain> {
  const model = new Uint8Array(SIZE);
  const layers = Array.from({ length: depth }, () => new CountingStorage(new SimulatedStorage()));
  const base = new CountingStorage(new SimulatedStorage({ initial: new Uint8Array(SIZE / 2).fill(200) }));
  model.fill(200, 0, SIZE / 2);
  const graph = coreGraph({ base, ...Object.fromEntries(layers.map((layer, i) => [`l${i}`, layer])) });
  await graph.add({ driver: 'raw', 'node-name': 'n-base', file: given('base'), 'read-only': true });
  let below = 'n-base';
  for (let i = 0; i < depth; i++) {
    const options = { driver: 'mapped', 'node-name': `n${i}`, size: SIZE, file: given(`l${i}`), backing: below };
    const writer = await graph.open(options);
    for (let n = 0; n < 3; n++) {
      const unit = random.below(SIZE / UNIT);
      writer.writeSync(unit * UNIT, new Uint8Array(UNIT).fill(i + 1));
      model.fill(i + 1, unit * UNIT, (unit + 1) * UNIT);
    }
    // The table of the test format lives as long as its node: a second user keeps the node when the writer goes.
    if (i === depth - 1) return { disk: writer, layers: [...layers, base], model };
    below = `n${i}`;
    graph.detach(writer.root);
  }
  throw new Error('a chain has at least one layer');
}

describe('reading through a chain', () => {
  test.each([1, 2, 7, 40])('of %d layers agrees with a flat array, at any offset and length', async (depth) => {
    const random = new Random(depth);
    const { disk, model } = await openChain(depth, random);
    for (let i = 0; i < 300; i++) {
      const offset = random.below(SIZE);
      const buffer = new Uint8Array(random.below(Math.min(SIZE - offset, 3 * UNIT)) + 1).fill(0xee);
      disk.readSync(offset, buffer);
      expect(
        equalBytes(buffer, model.slice(offset, offset + buffer.length)),
        `${buffer.length} bytes at ${offset}`,
      ).toBe(true);
    }
  });
});

describe('what is remembered', () => {
  const overlayOf = (name: string, backing: unknown) => ({ driver: 'mapped', size: SIZE, file: given(name), backing });

  test('is one read of the base storage, and is void when the graph changes', async () => {
    const base = new CountingStorage(new SimulatedStorage({ initial: new Uint8Array(SIZE).fill(5) }));
    const graph = coreGraph({
      base,
      top: new SimulatedStorage(),
      other: new SimulatedStorage({ initial: new Uint8Array(512) }),
    });
    const disk = await graph.open(overlayOf('top', { driver: 'raw', file: given('base') }));
    const buffer = new Uint8Array(512);
    for (let i = 0; i < 10; i++) disk.readSync(i * 512, buffer);
    expect(base.counts.reads).toBe(10);
    await graph.open({ driver: 'raw', file: given('other') });
    disk.readSync(0, buffer);
    expect(buffer[0]).toBe(5);
    expect(base.counts.reads).toBe(11);
  });

  test('is looked up for requests over several places too, and the tables between are left alone', async () => {
    const graph = coreGraph({
      base: new SimulatedStorage({ initial: new Uint8Array(SIZE).fill(5) }),
      middle: new SimulatedStorage({ initial: new Uint8Array(SIZE).fill(9) }),
      top: new SimulatedStorage(),
    });
    const middle = { ...overlayOf('middle', { driver: 'raw', file: given('base') }), 'node-name': 'middle' };
    const disk = await graph.open(overlayOf('top', { ...middle, 'read-only': true }));
    const { image } = graph.require('middle') as ImageNode;
    for (const unit of [3, 4, 10, 33]) (image as MappedImage).table.set(unit, unit * UNIT);
    const top = disk.node as ImageNode;
    const map = vi.spyOn(image, 'map');
    const read = (): void => {
      for (let offset = 0; offset + 10 * UNIT <= SIZE; offset += 3000) {
        const buffer = new Uint8Array(10 * UNIT);
        // Not through `disk`: the top of the test format asks for one unit at a time.
        expect(top.readBacking(offset, buffer)).toBeUndefined();
        const wrong = buffer.findIndex(
          (byte, i) => byte !== ([3, 4, 10, 33].includes(Math.floor((offset + i) / UNIT)) ? 9 : 5),
        );
        expect(wrong, `first wrong byte of the read at ${offset}`).toBe(-1);
      }
    };
    read();
    expect(map).toHaveBeenCalled();
    map.mockClear();
    read();
    expect(map).not.toHaveBeenCalled();
  });

  test('never covers a layer that can be written', async () => {
    const graph = coreGraph({
      base: new SimulatedStorage({ initial: new Uint8Array(SIZE).fill(5) }),
      middle: new SimulatedStorage(),
      top: new SimulatedStorage(),
    });
    const middle = await graph.add({
      ...overlayOf('middle', { driver: 'raw', file: given('base') }),
      'node-name': 'middle',
    });
    const disk = await graph.open(overlayOf('top', 'middle'));
    const buffer = new Uint8Array(512);
    disk.readSync(0, buffer);
    expect(buffer[0]).toBe(5);
    // As a commit job does: it writes into a layer below.
    await middle.write(0, new Uint8Array(512).fill(6));
    disk.readSync(0, buffer);
    expect(buffer[0]).toBe(6);
  });
});

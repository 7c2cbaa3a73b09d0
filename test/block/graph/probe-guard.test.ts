/** A raw disk whose format was guessed: no write, of however many pieces, makes it one of another format. */
import { describe, expect, test } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import { BlockError } from '../../../src/block/error.ts';
import { createImage } from '../../../src/block/image/create.ts';
import { probeImage } from '../../../src/block/image/probe.ts';
import { createNodeGraph } from '../../../src/node/index.ts';
import { Random } from '../../support/random.ts';

const SIZE = 65_536;
const SECTOR = 512;
let files = 0;

/** A graph with a raw file `disk` in memory, and the first and last bytes of an image of a format. */
async function prepare(format: string, options: object = {}) {
  const graph = createNodeGraph();
  const file = { driver: 'memory', name: `probe-guard-${files++}` };
  await startAsync(createImage(graph, { driver: 'raw', file, size: SIZE }));
  const other = { driver: 'memory', name: `probe-guard-${files++}` };
  await startAsync(createImage(graph, { driver: format, file: other, size: SIZE, ...options }));
  const source = await graph.open({ driver: 'raw', file: other });
  const image = new Uint8Array(source.length);
  await source.read(0, image);
  await graph.close(source);
  const open = (more: object = {}) => graph.open({ driver: 'raw', file, probed: true, ...more });
  const probe = async () => (await startAsync(probeImage(graph, { ...file, 'force-share': true }))).format;
  return { open, image, probe };
}

/** @returns whether it was allowed */
async function attempt(change: () => void | Promise<void>): Promise<boolean> {
  try {
    await change();
    return true;
  } catch (error) {
    if (!(error instanceof BlockError) || error.kind !== 'permission') throw error;
    return false;
  }
}

describe('a disk that was guessed to be raw', () => {
  test.each(['qcow2', 'qed', 'vdi', 'vpc', 'vmdk'])('refuses the header of %s, whole and in pieces', async (format) => {
    const { open, image, probe } = await prepare(format);
    const disk = await open();
    expect(await attempt(() => disk.write(0, image.subarray(0, SECTOR)))).toBe(false);
    expect(await attempt(() => disk.write(0, image.subarray(0, 8 * SECTOR)))).toBe(false);
    const held = new Uint8Array(SECTOR);
    await disk.read(0, held);
    expect(held).toEqual(new Uint8Array(SECTOR));
    const pieces = Array.from({ length: SECTOR / 4 }, (_, index) => image.subarray(4 * index, 4 * index + 4));
    // All at once: each alone is harmless.
    const allowed = await Promise.all(pieces.map((piece, index) => attempt(() => disk.write(4 * index, piece))));
    expect(allowed).toContain(false);
    await disk.flush();
    expect(await probe()).toBe('raw');
    expect(await attempt(() => disk.write(0, new Uint8Array(SECTOR).fill(7)))).toBe(true);
    expect(await attempt(() => disk.write(8 * SECTOR, image.subarray(0, SECTOR)))).toBe(true);
  });

  test('is written like any other when its format was named', async () => {
    const { open, image, probe } = await prepare('qcow2');
    const disk = await open({ probed: false });
    await disk.write(0, image.subarray(0, SECTOR));
    expect(await probe()).toBe('qcow2');
  });

  test('refuses a footer at its end, and an end that a footer would be at', async () => {
    const { open, image, probe } = await prepare('vpc', { subformat: 'fixed' });
    const footer = image.subarray(-SECTOR);
    const disk = await open();
    expect(await attempt(() => disk.write(SIZE - SECTOR, footer))).toBe(false);
    expect(await attempt(() => disk.write(SIZE - 2 * SECTOR, footer))).toBe(true);
    expect(await attempt(() => disk.resize(SIZE - SECTOR))).toBe(false);
    expect(disk.length).toBe(SIZE);
    expect(await probe()).toBe('raw');
    expect(await attempt(() => disk.resize(SIZE + SECTOR))).toBe(true);
    expect(await attempt(() => disk.write(SIZE, footer))).toBe(false);
  });

  test('counts from the start of the file, not of a window of it', async () => {
    const { open, image, probe } = await prepare('qcow2');
    const disk = await open({ offset: 4096 });
    expect(await attempt(() => disk.write(0, image.subarray(0, SECTOR)))).toBe(true);
    expect(await probe()).toBe('raw');
  });

  test('whatever is written, zeroed or discarded in whatever pieces', async () => {
    const random = new Random(20_261_126);
    const { open, image, probe } = await prepare('qcow2');
    const disk = await open();
    let refused = 0;
    for (let step = 0; step < 300; step++) {
      const offset = random.below(12);
      const length = 1 + random.below(12);
      const allowed = await attempt(() =>
        random.below(4) === 0
          ? disk.writeZeroes(offset, length)
          : disk.write(offset, image.subarray(offset, offset + length)),
      );
      if (!allowed) refused++;
      await disk.flush();
      expect(await probe(), `step ${step}`).toBe('raw');
    }
    expect(refused).toBeGreaterThan(0);
  });
});

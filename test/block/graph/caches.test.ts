/** What is said of caches: disks without a write cache, and nodes that leave flushes out. */
import { describe, expect, test } from 'vitest';
import { startAsync } from '../../../src/block/co.ts';
import { createImage } from '../../../src/block/image/create.ts';
import { coreGraph } from '../../support/core-graph.ts';
import { CountingStorage } from '../../support/counting-storage.ts';
import { SimulatedStorage } from '../../support/simulated-storage.ts';

const MIB = 1024 * 1024;
const image = { driver: 'given', name: 'image' };
const failing = { driver: 'blkdebug', 'inject-error': [{ event: 'none', iotype: 'flush' }] };

async function graphWith(format: string) {
  const storage = new CountingStorage(new SimulatedStorage({ initial: new Uint8Array(format === 'raw' ? MIB : 0) }));
  const graph = coreGraph({ image: storage });
  if (format === 'qcow2') {
    const made = { driver: 'memory', name: 'made' };
    await startAsync(createImage(graph, { driver: format, size: MIB, file: made }));
    const source = await graph.open(made);
    const bytes = new Uint8Array(source.length);
    await source.read(0, bytes);
    await graph.close(source);
    await storage.write(0, bytes);
  }
  storage.take();
  return { graph, storage };
}

describe.each(['raw', 'qcow2'])('%s', (driver) => {
  test('without a write cache every write is stable when it is answered', async () => {
    const { graph, storage } = await graphWith(driver);
    const disk = await graph.open({ driver, file: image });
    await disk.write(0, new Uint8Array(512).fill(1));
    expect(storage.take().flushes, 'with one').toBe(0);
    disk.writeCache = false;
    for (const write of [
      () => disk.write(0, new Uint8Array(512).fill(2)),
      () => disk.write(65_536, new Uint8Array(512).fill(3)),
      () => disk.writeZeroes(0, 65_536),
      () => disk.write(131_072, new Uint8Array(512).fill(4), { fua: true }),
    ]) {
      await write();
      const { flushes } = storage.take();
      expect(flushes).toBeGreaterThan(0);
      // All of it is: there is nothing left to flush.
      await disk.flush();
      expect(storage.take().flushes).toBe(0);
    }
    await disk.read(0, new Uint8Array(512));
    expect(storage.take().flushes, 'reading').toBe(0);
    await graph.close(disk);
  });

  test('such a write fails when its flush does, whatever filter is between', async () => {
    for (const options of [
      { driver, file: { ...failing, image } },
      { ...failing, image: { driver, file: image } },
      { driver: 'copy-on-read', file: { driver, file: { ...failing, image } } },
    ]) {
      const { graph } = await graphWith(driver);
      const disk = await graph.open(options);
      await disk.write(0, new Uint8Array(512).fill(1));
      disk.writeCache = false;
      await expect((async () => disk.write(0, new Uint8Array(512).fill(2)))()).rejects.toMatchObject({ kind: 'io' });
      await expect((async () => disk.writeZeroes(0, 512))()).rejects.toMatchObject({ kind: 'io' });
      await graph.close(disk).catch(() => undefined);
    }
  });

  test('cache.no-flush: tables are written, and nothing is flushed', async () => {
    const { graph, storage } = await graphWith(driver);
    // A flush that is left out cannot fail either.
    const options = { driver, cache: { 'no-flush': true }, file: { ...failing, image } };
    const disk = await graph.open(options);
    await disk.write(65_536, new Uint8Array(512).fill(1));
    storage.take();
    await disk.flush();
    const { flushes, writes } = storage.take();
    expect(flushes).toBe(0);
    expect(writes > 0, 'tables').toBe(driver === 'qcow2');
    disk.writeCache = false;
    await disk.write(0, new Uint8Array(512).fill(1));
    await graph.close(disk);
    expect(storage.take().flushes).toBe(0);
  });

  test('what a node says of caches is true below, unless it is said otherwise there', async () => {
    const { graph, storage } = await graphWith(driver);
    const disk = await graph.open({ driver, 'cache.no-flush': 'on', file: { ...image, 'cache.no-flush': 'off' } });
    await disk.write(0, new Uint8Array(512));
    await disk.flush();
    expect(storage.take().flushes).toBeGreaterThan(0);
    await graph.close(disk);
  });

  test('a part of the option that there is not is refused by name', async () => {
    const { graph } = await graphWith(driver);
    const opened = graph.open({ driver, cache: { writeback: true }, file: image });
    await expect(opened).rejects.toThrow(`Option 'cache.writeback' is not known to driver '${driver}'`);
  });
});

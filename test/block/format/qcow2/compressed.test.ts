/** Compressed clusters: where they go, what reading them costs, and what broken ones say. */
import { describe, expect, it } from 'vitest';
import { BlockError } from '../../../../src/block/error.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { CountingStorage } from '../../../support/counting-storage.ts';
import { openImage, Qcow2File } from '../../../support/qcow2-file.ts';
import { makeQcow2, openQcow2, readDisk } from '../../../support/qcow2-session.ts';
import { compressibleBytes, equalBytes, patternedBytes, Random } from '../../../support/random.ts';
import { LastingStorage } from '../../../support/scenario.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

const KiB = 1024;
const CLUSTER = 4 * KiB;
const SIZE = 64 * CLUSTER;

/** Opens a new disk. Write 2 compresses to about half, write 1 to less than a tenth. */
async function newDisk(options: Readonly<Record<string, unknown>> = {}) {
  const storage = new LastingStorage({ initial: await makeQcow2({ size: SIZE, cluster_size: CLUSTER, ...options }) });
  const { graph, disk } = await openQcow2(storage);
  const write = (id: number, cluster: number, count = 1): unknown =>
    disk.write(cluster * CLUSTER, compressibleBytes(id, cluster * CLUSTER, count * CLUSTER), { compressed: true });
  const content = (): Qcow2File => new Qcow2File(storage.content);
  /** Where the bytes of compressed clusters begin, by their L2 entries. */
  const places = (): number[] =>
    Array.from({ length: SIZE / CLUSTER }, (_, cluster) => content().uint64(content().l2Entry(cluster * CLUSTER)))
      .filter((entry) => (entry & (1n << 62n)) !== 0n)
      .map((entry) => Number(entry & ((1n << 58n) - 1n)));
  return { storage, graph, disk, write, content, places };
}

describe('packing', () => {
  it('puts compressed clusters one behind the other, across host clusters', async () => {
    const { disk, graph, write, places, storage } = await newDisk();
    await write(10, 0, 20);
    await disk.flush();
    const offsets = places();
    expect(offsets).toHaveLength(20);
    expect(offsets.every((offset, index) => index === 0 || offset > offsets[index - 1]!)).toBe(true);
    expect(offsets.filter((offset) => offset % CLUSTER === 0).length).toBeLessThan(4);
    expect(new Set(offsets.map((offset) => Math.floor(offset / CLUSTER))).size).toBeLessThan(20);
    await graph.close(disk);
    expectSound(await checkFile(storage.content), 'the image', 'forbidden');
  });

  it('gives each a host cluster of its own where a refcount can only say 1', async () => {
    const { disk, graph, write, places, storage } = await newDisk({ refcount_bits: 1 });
    await write(1, 0, 6);
    await graph.close(disk);
    expect(places().every((offset) => offset % CLUSTER === 0)).toBe(true);
    expectSound(await checkFile(storage.content), 'the image', 'forbidden');
  });

  it('does not go on in a host cluster that became free and is something else now', async () => {
    const { disk, graph, write, places, storage } = await newDisk();
    await write(1, 0);
    await disk.flush();
    const [place] = places();
    await disk.writeZeroes(0, CLUSTER, { mayUnmap: true });
    await disk.flush();
    const plain = patternedBytes(3, 8 * CLUSTER, CLUSTER).slice();
    await disk.write(8 * CLUSTER, plain);
    await disk.flush();
    const entry = new Qcow2File(storage.content).uint64(new Qcow2File(storage.content).l2Entry(8 * CLUSTER));
    // What this test is about: the plain cluster took the very place.
    expect(Number(entry & 0xfffffffn)).toBe(Math.floor(place! / CLUSTER) * CLUSTER);
    await write(1, 20);
    const found = new Uint8Array(CLUSTER);
    await disk.read(8 * CLUSTER, found);
    expect(equalBytes(found, plain)).toBe(true);
    await graph.close(disk);
    expectSound(await checkFile(storage.content), 'the image', 'forbidden');
  });

  it('stores plain what cannot be compressed', async () => {
    const { disk, graph, places, storage } = await newDisk();
    const noise = new Random(3).bytes(2 * CLUSTER);
    await disk.write(0, noise, { compressed: true });
    await disk.flush();
    expect(places()).toEqual([]);
    expect(equalBytes((await readDisk(disk)).subarray(0, noise.length), noise)).toBe(true);
    await graph.close(disk);
    expectSound(await checkFile(storage.content), 'the image', 'forbidden');
  });
});

describe('reading', () => {
  it('reads a cluster once for all its parts, and anew after it was written again', async () => {
    const { disk, graph, write, storage } = await newDisk();
    await write(2, 0, 3);
    await graph.close(disk);
    const counted = new CountingStorage(storage);
    const { image } = await openImage(counted);
    await image.map(0, CLUSTER);
    counted.take();
    const expected = compressibleBytes(2, 0, 3 * CLUSTER);
    const part = new Uint8Array(512);
    for (let offset = 0; offset < 2 * CLUSTER; offset += 512) {
      await image.readEncoded!(offset, part);
      expect(equalBytes(part, expected.subarray(offset, offset + 512))).toBe(true);
    }
    expect(counted.take()).toMatchObject({ reads: 2 });
    const changed = compressibleBytes(7, 0, CLUSTER);
    await image.writeEncoded!(0, changed.slice(), { compressed: true });
    await image.readEncoded!(1024, part);
    expect(equalBytes(part, changed.subarray(1024, 1536))).toBe(true);
    await image.close();
  });

  it('of several clusters at a time, over storage that takes its time', async () => {
    const { disk, graph, write, storage } = await newDisk();
    await write(5, 0, 64);
    await graph.close(disk);
    let inFlight = 0;
    let most = 0;
    const slow = new (class extends LastingStorage {
      override async read(offset: number, buffer: Uint8Array): Promise<void> {
        most = Math.max(most, ++inFlight);
        await new Promise((resolve) => setTimeout(resolve, 1));
        inFlight--;
        await super.read(offset, buffer);
      }
    })({ initial: storage.content });
    Object.defineProperty(slow, 'synchronous', { value: false });
    const opened = await openQcow2(slow);
    expect(equalBytes(await readDisk(opened.disk), compressibleBytes(5, 0, SIZE))).toBe(true);
    expect(most).toBeGreaterThan(4);
    // All parts of one cluster together: it is read once.
    const parts = Array.from({ length: 8 }, (_, index) => ({ at: index * 512, bytes: new Uint8Array(512) }));
    await Promise.all(parts.map(async ({ at, bytes }) => opened.disk.read(at, bytes)));
    for (const { at, bytes } of parts) expect(equalBytes(bytes, compressibleBytes(5, at, 512))).toBe(true);
    await opened.graph.close(opened.disk);
  });
});

describe('broken clusters', () => {
  const damaged = async (damage: (file: Qcow2File, place: number) => void): Promise<unknown> => {
    const { disk, graph, write, places, storage } = await newDisk();
    await write(2, 0, 2);
    await graph.close(disk);
    const [place] = places();
    damage(new Qcow2File(storage.content), place!);
    const opened = await openQcow2(new SimulatedStorage({ initial: storage.content, readOnly: true }), {
      'read-only': true,
    });
    const second = new Uint8Array(CLUSTER);
    await opened.disk.read(CLUSTER, second);
    expect(equalBytes(second, compressibleBytes(2, CLUSTER, CLUSTER))).toBe(true);
    try {
      await opened.disk.read(100, new Uint8Array(10));
      return undefined;
    } catch (error) {
      return error;
    } finally {
      await opened.graph.close(opened.disk);
    }
  };

  it.each<[string, (file: Qcow2File, place: number) => void, RegExp]>([
    [
      'a broken stream',
      (file, place) => file.setUint32(place, 0xffffffff),
      /cannot be read: the deflate stream is broken/,
    ],
    [
      'a place behind the end',
      (file) => file.setUint64(file.l2Entry(0), (1n << 62n) | 0x10000000n),
      /268435456 in the file, and cannot be read: the file has only \d+ bytes/,
    ],
    [
      'too few sectors',
      (file) => file.setUint64(file.l2Entry(0), file.uint64(file.l2Entry(0)) & ~(0xfn << 58n)),
      /cannot be read: the deflate stream/,
    ],
  ])('name the cluster: %s', async (_name, damage, message) => {
    const error = await damaged(damage);
    expect(error).toBeInstanceOf(BlockError);
    expect(error).toMatchObject({ kind: 'corrupt', context: { offset: 0 } });
    expect((error as BlockError).message).toMatch(/^The guest cluster at offset 0 is compressed/);
    expect((error as BlockError).message).toMatch(message);
  });
});

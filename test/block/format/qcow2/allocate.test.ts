import { describe, expect, it } from 'vitest';
import type { FormatImage } from '../../../../src/block/driver.ts';
import { FIELD, INCOMPATIBLE_CORRUPT, INCOMPATIBLE_DIRTY } from '../../../../src/block/format/qcow2/layout.ts';
import { CountingStorage } from '../../../support/counting-storage.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { openImage, Qcow2File } from '../../../support/qcow2-file.ts';
import { openQcow2, readDisk } from '../../../support/qcow2-session.ts';
import { LastingStorage } from '../../../support/scenario.ts';
import { equalBytes, patternedBytes } from '../../../support/random.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

const KiB = 1024;
const MiB = KiB ** 2;
const CLUSTER = 64 * KiB;
const COPIED = 1n << 63n;

async function openNew(options: Readonly<Record<string, unknown>> = {}, openOptions = {}) {
  const { bytes } = await Qcow2File.create({ size: 64 * MiB, ...options });
  const storage = new SimulatedStorage({ initial: bytes });
  return { storage, ...(await openImage(storage, openOptions)) };
}

async function openGraph(file: Qcow2File, openOptions = {}) {
  const storage = new LastingStorage({ initial: file.bytes });
  const counting = new CountingStorage(storage);
  return { storage, counting, ...(await openQcow2(counting, openOptions)) };
}

async function write(image: FormatImage, offset: number, length: number): Promise<number> {
  const allocation = await image.allocate!(offset, length);
  await allocation.child.write(allocation.hostOffset, new Uint8Array(allocation.length).fill(1));
  await allocation.commit();
  return allocation.length;
}

describe('allocation', () => {
  it('covers many clusters at once, with edges at its ends only', async () => {
    const { image } = await openNew();
    const allocation = await image.allocate!(CLUSTER + 512, 5 * CLUSTER);
    expect(allocation).toMatchObject({ length: 5 * CLUSTER, copyBefore: 512, copyAfter: CLUSTER - 512, zeroed: true });
    await allocation.child.write(allocation.hostOffset, new Uint8Array(allocation.length).fill(1));
    await allocation.commit();
    expect(await image.map(CLUSTER, MiB)).toMatchObject({
      kind: 'data',
      length: 6 * CLUSTER,
      hostOffset: allocation.hostOffset - 512,
    });
  });

  it('is invisible until it is published, and gone when it is given up', async () => {
    const { image, storage } = await openNew();
    const first = await image.allocate!(0, CLUSTER);
    expect(await image.map(0, CLUSTER)).toMatchObject({ kind: 'backing' });
    await first.abort();
    await image.flush!();
    const second = await image.allocate!(0, CLUSTER);
    expect(second.hostOffset).toBe(first.hostOffset);
    // It was handed out before, so nobody knows what is there.
    expect(second.zeroed).toBe(false);
    await second.abort();
    await image.close();
    expectSound(await checkFile(storage.content), 'after giving up', 'forbidden');
  });

  it('leaves a file of whole clusters: programs that are not QEMU take another for cut off', async () => {
    const { image, storage } = await openNew();
    await write(image, 512, 1024);
    expect(storage.content.length % CLUSTER).toBe(1536);
    await image.flush!();
    expect(storage.content.length % CLUSTER).toBe(0);
    await image.close();
    expectSound(await checkFile(storage.content), 'after a short write', 'forbidden');
  });

  it('stops at clusters that can be written in place', async () => {
    const { image } = await openNew();
    await write(image, 2 * CLUSTER, CLUSTER);
    expect((await image.allocate!(0, MiB)).length).toBe(2 * CLUSTER);
    expect((await image.allocate!(2 * CLUSTER, MiB)).length).toBe(CLUSTER);
  });

  it('fills the space that its cluster had under a zero flag', async () => {
    const { image } = await openNew();
    await write(image, 0, CLUSTER);
    const { hostOffset } = await image.map(0, 512);
    expect(await image.markZero!(0, CLUSTER, {})).toBe(CLUSTER);
    expect(await image.map(0, CLUSTER)).toMatchObject({ kind: 'zero', hostOffset });
    const allocation = await image.allocate!(512, 512);
    expect(allocation).toMatchObject({
      hostOffset: hostOffset + 512,
      copyBefore: 512,
      copyAfter: CLUSTER - 1024,
      zeroed: false,
    });
  });

  it('freed clusters are used again, but not before the tables on the disk have let go of them', async () => {
    const { image } = await openNew();
    await write(image, 0, CLUSTER);
    await image.flush!();
    const { hostOffset } = await image.map(0, 512);
    expect(await image.discard!(0, CLUSTER)).toBe(CLUSTER);
    const before = await image.allocate!(CLUSTER, CLUSTER);
    expect(before.hostOffset).not.toBe(hostOffset);
    await before.abort();
    await image.flush!();
    expect((await image.allocate!(CLUSTER, CLUSTER)).hostOffset).toBe(hostOffset);
  });

  it.each([1, 2, 4, 8, 16, 32, 64])('refcounts of %i bits grow with the file', async (refcount_bits) => {
    const file = await Qcow2File.create({ size: 16 * MiB, cluster_size: 512, refcount_bits });
    const { storage, graph, disk } = await openGraph(file);
    const data = patternedBytes(1, 0, 5 * MiB);
    await disk.write(0, data);
    await disk.write(9 * MiB, data.subarray(0, MiB));
    await graph.close(disk);
    const result = await checkFile(storage.content);
    expectSound(result, 'after growing', 'forbidden');
    expect(result.result.allocatedClusters).toBe((6 * MiB) / 512);
    const again = await openQcow2(storage);
    const read = await readDisk(again.disk);
    expect(equalBytes(read.subarray(0, 5 * MiB), data)).toBe(true);
    expect(equalBytes(read.subarray(9 * MiB, 10 * MiB), data.subarray(0, MiB))).toBe(true);
    // The refcount table of 64 bits has grown: its first one reaches 2 MiB far.
    if (refcount_bits === 64) {
      expect(new Qcow2File(storage.content).uint32(FIELD.refcountTableClusters)).toBeGreaterThan(1);
    }
  });

  it('copies an L2 table and data that are not its own', async () => {
    const file = await Qcow2File.create({ size: MiB, preallocation: 'metadata', cluster_size: 4096 });
    file.setUint64(file.l1Entry(0), file.uint64(file.l1Entry(0)) & ~COPIED);
    file.setUint64(file.l2Entry(0), file.uint64(file.l2Entry(0)) & ~COPIED);
    const tableBefore = file.uint64(file.l1Entry(0));
    const dataBefore = file.uint64(file.l2Entry(0));
    file.bytes.write(Number(dataBefore), new Uint8Array(4096).fill(9));
    const { storage, graph, disk } = await openGraph(file);
    await disk.write(512, new Uint8Array(512).fill(1));
    await graph.close(disk);
    const after = new Qcow2File(storage.content);
    expect(after.uint64(after.l1Entry(0))).not.toBe(tableBefore);
    expect(after.uint64(after.l2Entry(0))).not.toBe(dataBefore);
    expectSound(await checkFile(storage.content), 'after copying', 'forbidden');
    const read = await readDisk((await openQcow2(storage)).disk);
    expect([read[0], read[511], read[512], read[1023], read[1024], read[4095], read[4096]]).toEqual([
      9, 9, 1, 1, 9, 9, 0,
    ]);
  });
});

describe('what a flush costs', () => {
  it('is nothing without writes, one flush for data in place, two for new clusters', async () => {
    const { disk, counting } = await openGraph(await Qcow2File.create({ size: 64 * MiB }));
    await disk.flush();
    expect(counting.take().flushes).toBe(0);
    await disk.write(0, new Uint8Array(CLUSTER));
    counting.take();
    await disk.flush();
    // Counts, then the L2 slice and the L1 sector.
    expect(counting.take()).toMatchObject({ flushes: 2, writes: 3 });
    await disk.write(4096, new Uint8Array(4096));
    expect(counting.take()).toMatchObject({ writes: 1, reads: 0, flushes: 0 });
    await disk.flush();
    expect(counting.take()).toMatchObject({ flushes: 1, writes: 0 });
    await disk.flush();
    expect(counting.take()).toMatchObject({ flushes: 0, writes: 0 });
  });

  it('with lazy refcounts the counts are written when the image is closed', async () => {
    const file = await Qcow2File.create({ size: 64 * MiB, lazy_refcounts: true });
    const { storage, disk, graph, counting } = await openGraph(file);
    await disk.write(0, new Uint8Array(CLUSTER));
    await disk.flush();
    const open = new Qcow2File(storage.content);
    expect(open.uint64(FIELD.incompatibleFeatures)).toBe(INCOMPATIBLE_DIRTY);
    const { result } = await checkFile(storage.content);
    expect(result.corruptions).toBeGreaterThan(0);
    counting.take();
    await disk.write(CLUSTER, new Uint8Array(CLUSTER));
    await disk.flush();
    // The data and one L2 slice.
    expect(counting.take()).toMatchObject({ writes: 2, flushes: 2 });
    await graph.close(disk);
    expect(open.uint64(FIELD.incompatibleFeatures)).toBe(0n);
    expectSound(await checkFile(storage.content), 'after closing', 'forbidden');
  });

  it('adjacent slices go down in one write', async () => {
    const { disk, counting } = await openGraph(await Qcow2File.create({ size: 4096 * MiB }));
    for (let slice = 0; slice < 16; slice++) await disk.write(slice * 32 * MiB, new Uint8Array(512));
    counting.take();
    await disk.flush();
    expect(counting.take()).toMatchObject({ flushes: 2, writes: 3 });
  });

  it('a small cache writes back when half of it is dirty', async () => {
    const file = await Qcow2File.create({ size: 64 * MiB, cluster_size: 512 });
    const { storage, disk, graph } = await openGraph(file, { 'l2-cache-size': 4096 });
    for (let offset = 0; offset < 4 * MiB; offset += 32 * KiB) {
      await disk.write(offset, patternedBytes(offset, offset, 512));
    }
    for (let offset = 0; offset < 4 * MiB; offset += 32 * KiB) {
      const sector = new Uint8Array(512);
      await disk.read(offset, sector);
      expect(sector).toEqual(patternedBytes(offset, offset, 512));
    }
    await graph.close(disk);
    expectSound(await checkFile(storage.content), 'after closing', 'forbidden');
  });
});

describe('metadata is not overwritten', () => {
  async function corrupt(damage: (file: Qcow2File) => void, openOptions = {}) {
    const file = await Qcow2File.create({ size: MiB, preallocation: 'metadata' });
    damage(file);
    return openGraph(file, openOptions);
  }

  it.each([
    ['the header', 0n, /says that the header is its data/],
    ['the refcount table', 1n, /overlaps with refcount table/],
    ['a refcount block', 2n, /overlaps with refcount block/],
    ['the active L1 table', 3n, /overlaps with active L1 table/],
    ['an active L2 table', 4n, /overlaps with active L2 table/],
  ])('data on %s', async (_name, cluster, message) => {
    const { storage, disk, graph } = await corrupt((file) =>
      file.setUint64(file.l2Entry(0), COPIED | (cluster * 65536n)),
    );
    const before = storage.content.toBytes();
    await expect((async () => disk.write(0, new Uint8Array(512).fill(255)))()).rejects.toThrow(message);
    const after = storage.content.toBytes();
    if (cluster > 0n) {
      expect(new Qcow2File(storage.content).uint64(FIELD.incompatibleFeatures)).toBe(INCOMPATIBLE_CORRUPT);
      await expect((async () => disk.write(CLUSTER, new Uint8Array(512)))()).rejects.toThrow(/corrupt/);
      expect(equalBytes(after.subarray(80), before.subarray(80))).toBe(true);
    } else {
      expect(equalBytes(after, before)).toBe(true);
    }
    await graph.close(disk);
  });

  it('an L2 table on the refcount table', async () => {
    const { disk } = await corrupt((file) => file.setUint64(file.l1Entry(0), COPIED | 65536n));
    await expect((async () => disk.write(0, new Uint8Array(512)))()).rejects.toThrow(
      /overlaps with refcount table\): an L2 table would go to 65536/,
    );
  });

  it('a free cluster that holds the L1 table', async () => {
    const file = await Qcow2File.create({ size: MiB });
    // The refcount of cluster 3, which holds the L1 table, becomes 0.
    file.bytes.write(2 * CLUSTER + 2 * 3, new Uint8Array(2));
    const { disk, storage } = await openGraph(file);
    await expect((async () => disk.write(0, new Uint8Array(512)))()).rejects.toThrow(
      /overlaps with active L1 table\): clusters from 3 on/,
    );
    expect(new Qcow2File(storage.content).uint64(FIELD.incompatibleFeatures)).toBe(INCOMPATIBLE_CORRUPT);
  });

  it.each<[Readonly<Record<string, unknown>>, readonly string[]]>([
    [{ 'overlap-check': 'none' }, []],
    [{ 'overlap-check': 'constant' }, ['refcount table', 'active L1 table']],
    [{ 'overlap-check': 'cached' }, ['refcount table', 'refcount block', 'active L1 table', 'active L2 table']],
    [{ 'overlap-check.template': 'none', 'overlap-check.active-l2': 'on' }, ['active L2 table']],
    [{ 'overlap-check': { template: 'constant', 'active-l1': false } }, ['refcount table']],
  ])('what is looked out for is what was asked for: %o', async (options, expected) => {
    const found: string[] = [];
    for (let cluster = 1n; cluster <= 4n; cluster++) {
      const { disk } = await corrupt((file) => file.setUint64(file.l2Entry(0), COPIED | (cluster * 65536n)), options);
      await (async () => disk.write(0, new Uint8Array(512)))().catch((error: unknown) => {
        found.push(/overlaps with ([^)]+)/.exec(String(error))?.[1] ?? String(error));
      });
    }
    expect(found).toEqual(expected);
  });

  it('overlap-check none lets it happen', async () => {
    const { disk } = await corrupt((file) => file.setUint64(file.l2Entry(0), COPIED | (4n * 65536n)), {
      'overlap-check': 'constant',
    });
    await disk.write(4096, new Uint8Array(512));
  });

  it('a cluster that is in use and not counted is found out when it is freed', async () => {
    const file = await Qcow2File.create({ size: MiB, preallocation: 'metadata' });
    const cluster = Number(file.uint64(file.l2Entry(0)) & ~COPIED) / CLUSTER;
    file.bytes.write(2 * CLUSTER + 2 * cluster, new Uint8Array(2));
    const { disk, storage } = await openGraph(file);
    await disk.discard(0, CLUSTER);
    await expect((async () => disk.flush())()).rejects.toThrow(/is in use and not counted/);
    expect(new Qcow2File(storage.content).uint64(FIELD.incompatibleFeatures)).toBe(INCOMPATIBLE_CORRUPT);
  });
});

describe('zeroes and discards', () => {
  it('give space back where they may, and keep it where they must not', async () => {
    const { image } = await openNew();
    await write(image, 0, 3 * CLUSTER);
    expect(await image.markZero!(0, CLUSTER, { mayUnmap: true })).toBe(CLUSTER);
    expect(await image.markZero!(CLUSTER, CLUSTER, {})).toBe(CLUSTER);
    expect(await image.map(0, CLUSTER)).toMatchObject({ kind: 'zero', hostOffset: -1 });
    expect((await image.map(CLUSTER, CLUSTER)).hostOffset).toBeGreaterThan(0);
    expect(await image.discard!(CLUSTER, 2 * CLUSTER)).toBe(2 * CLUSTER);
    expect(await image.map(0, 3 * CLUSTER)).toMatchObject({ kind: 'zero', hostOffset: -1, length: 3 * CLUSTER });
  });

  it('a discard of what was never written changes nothing, unless a backing file would show', async () => {
    const alone = await openNew();
    expect(await alone.image.discard!(0, MiB)).toBe(MiB);
    expect(await alone.image.map(0, CLUSTER)).toMatchObject({ kind: 'backing' });
    const overlay = await openNew({ backing_file: 'base', backing_fmt: 'raw' });
    expect(await overlay.image.discard!(0, MiB)).toBe(MiB);
    expect(await overlay.image.map(0, CLUSTER)).toMatchObject({ kind: 'zero' });
  });

  it('version 2 forgets clusters, but not over a backing file', async () => {
    const alone = await openNew({ compat: '0.10' });
    await write(alone.image, 0, CLUSTER);
    expect(await alone.image.markZero!(0, CLUSTER, {})).toBe(0);
    expect(await alone.image.discard!(0, CLUSTER)).toBe(CLUSTER);
    expect(await alone.image.map(0, CLUSTER)).toMatchObject({ kind: 'backing' });
    const overlay = await openNew({ compat: '0.10', backing_file: 'base', backing_fmt: 'raw' });
    await write(overlay.image, 0, CLUSTER);
    expect(await overlay.image.discard!(0, CLUSTER)).toBe(CLUSTER);
    expect(await overlay.image.map(0, CLUSTER)).toMatchObject({ kind: 'data' });
  });

  it('the file is told of discarded clusters, once they are free', async () => {
    for (const pass of [true, false]) {
      const { bytes } = await Qcow2File.create({ size: MiB });
      const counting = new CountingStorage(new SimulatedStorage({ initial: bytes }));
      const { image } = await openImage(counting, { 'pass-discard-request': pass });
      await write(image, 0, 4 * CLUSTER);
      await image.discard!(0, 4 * CLUSTER);
      expect(counting.take().discards).toBe(0);
      await image.flush!();
      expect(counting.take().discards).toBe(pass ? 1 : 0);
    }
  });
});

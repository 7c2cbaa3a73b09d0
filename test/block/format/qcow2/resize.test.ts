import { describe, expect, it } from 'vitest';
import { FIELD } from '../../../../src/block/format/qcow2/layout.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { openImage, Qcow2File } from '../../../support/qcow2-file.ts';
import { openQcow2, readDisk } from '../../../support/qcow2-session.ts';
import { LastingStorage } from '../../../support/scenario.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

const KiB = 1024;
const MiB = KiB ** 2;

async function openDisk(options: Readonly<Record<string, unknown>>) {
  const { bytes } = await Qcow2File.create(options);
  const storage = new LastingStorage({ initial: bytes });
  return { storage, ...(await openQcow2(storage)) };
}

describe('growing', () => {
  it('moves the L1 table when it is too small', async () => {
    const { storage, graph, disk } = await openDisk({ size: MiB, cluster_size: 512 });
    await disk.write(MiB - 512, new Uint8Array(512).fill(1));
    const before = new Qcow2File(storage.content);
    const l1Before = before.uint64(FIELD.l1TableOffset);
    await disk.resize(64 * MiB);
    await disk.write(64 * MiB - 512, new Uint8Array(512).fill(2));
    await graph.close(disk);
    const after = new Qcow2File(storage.content);
    expect(after.uint64(FIELD.l1TableOffset)).not.toBe(l1Before);
    expect(after.uint32(FIELD.l1Size)).toBe((64 * MiB) / (512 * 64));
    expect(after.uint64(FIELD.size)).toBe(BigInt(64 * MiB));
    expectSound(await checkFile(storage.content), 'after growing', 'forbidden');
    const read = await readDisk((await openQcow2(storage)).disk);
    expect([read[MiB - 512], read[MiB], read[64 * MiB - 1]]).toEqual([1, 0, 2]);
  });

  it('takes a longer L1 table than one refcount block counts clusters of', async () => {
    const file = await Qcow2File.create({ size: MiB, cluster_size: 512, refcount_bits: 64 });
    const storage = new LastingStorage({ initial: file.bytes });
    const { image } = await openImage(storage);
    // The table takes 256 clusters, a block counts 64.
    await image.resize!(512 * MiB, 'off', 0);
    await image.resize!(2048 * MiB, 'off', 0);
    await image.close();
    expectSound(await checkFile(storage.content), 'after growing', 'forbidden');
  });

  it('shows nothing of what lies behind the old end', async () => {
    const file = await Qcow2File.create({ size: 64 * KiB - 512, preallocation: 'metadata', cluster_size: 16 * KiB });
    const last = Number(file.uint64(file.l2Entry(48 * KiB)) & 0x00fffffffffffe00n);
    file.bytes.write(last, new Uint8Array(16 * KiB).fill(0xee));
    // An entry behind the end of the disk, which has no business there.
    const stray = Math.ceil(file.bytes.length / (16 * KiB));
    file.setUint64(file.l2Entry(128 * KiB), (1n << 63n) | BigInt(stray * 16 * KiB));
    file.bytes.write(stray * 16 * KiB, new Uint8Array(16 * KiB).fill(0xdd));
    file.bytes.write(2 * 16 * KiB + 2 * stray, Uint8Array.of(0, 1));
    const storage = new LastingStorage({ initial: file.bytes });
    const { disk } = await openQcow2(storage);
    await disk.resize(256 * KiB);
    const read = await readDisk(disk);
    expect(read[64 * KiB - 513]).toBe(0xee);
    expect(read.subarray(64 * KiB - 512).every((byte) => byte === 0)).toBe(true);
  });

  it('with metadata preallocated, every cluster has its place and reads as zero', async () => {
    const { bytes } = await Qcow2File.create({ size: MiB });
    const storage = new SimulatedStorage({ initial: bytes });
    const { image } = await openImage(storage);
    await image.resize!(64 * MiB, 'metadata', 0);
    expect(await image.map(0, MiB)).toMatchObject({ kind: 'backing', length: MiB });
    expect(await image.map(MiB, 63 * MiB)).toMatchObject({ kind: 'data', length: 31 * MiB });
    await image.close();
    expect((await checkFile(storage.content)).result).toMatchObject({
      corruptions: 0,
      leaks: 0,
      allocatedClusters: 63 * 16,
    });
  });

  it('refuses what an L1 table cannot hold', async () => {
    const { bytes } = await Qcow2File.create({ size: MiB, cluster_size: 512 });
    const storage = new SimulatedStorage({ initial: bytes });
    const { image } = await openImage(storage);
    await expect((async () => image.resize!(2 ** 40, 'off', 0))()).rejects.toThrow(/L1 table of 268435456 bytes/);
    expect(image.virtualSize).toBe(MiB);
    await image.close();
    expectSound(await checkFile(storage.content), 'after refusals', 'forbidden');
  });
});

describe('shrinking', () => {
  it('gives back what is cut off, and cuts the file', async () => {
    const { storage, graph, disk } = await openDisk({ size: 8 * MiB });
    await disk.write(0, new Uint8Array(8 * MiB).fill(7));
    await disk.flush();
    const { length } = storage.content;
    await disk.resize(MiB + 512);
    expect(storage.content.length).toBeLessThan(length / 4);
    await disk.resize(8 * MiB);
    const read = await readDisk(disk);
    expect(read.subarray(0, MiB + 512).every((byte) => byte === 7)).toBe(true);
    expect(read.subarray(MiB + 512).every((byte) => byte === 0)).toBe(true);
    await graph.close(disk);
    expectSound(await checkFile(storage.content), 'after shrinking', 'forbidden');
  });

  it('to the middle of a cluster, the rest of the cluster is zero when the disk grows again', async () => {
    const { disk } = await openDisk({ size: MiB });
    await disk.write(0, new Uint8Array(MiB).fill(7));
    await disk.resize(100 * KiB);
    await disk.resize(MiB);
    const read = await readDisk(disk);
    expect(read.findIndex((byte) => byte !== 7)).toBe(100 * KiB);
    expect(read.subarray(100 * KiB).every((byte) => byte === 0)).toBe(true);
  });

  it('to nothing', async () => {
    const { storage, graph, disk } = await openDisk({ size: MiB });
    await disk.write(0, new Uint8Array(MiB).fill(7));
    await disk.resize(0);
    expect(disk.length).toBe(0);
    await graph.close(disk);
    const { result } = await checkFile(storage.content);
    expect(result).toMatchObject({ corruptions: 0, leaks: 0, allocatedClusters: 0 });
  });
});

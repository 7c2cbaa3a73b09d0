import { describe, expect, it } from 'vitest';
import type { FormatImage } from '../../../../src/block/driver.ts';
import { checkFile, checkStorage, expectSound } from '../../../support/qcow2-check.ts';
import { openImage, Qcow2File } from '../../../support/qcow2-file.ts';
import { openQcow2 } from '../../../support/qcow2-session.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

const KiB = 1024;
const MiB = KiB ** 2;
const CLUSTER = 64 * KiB;
const SUBCLUSTER = CLUSTER / 32;

async function openNew(options: Readonly<Record<string, unknown>> = {}) {
  const { bytes } = await Qcow2File.create({ size: 64 * MiB, extended_l2: true, ...options });
  const storage = new SimulatedStorage({ initial: bytes });
  return { storage, ...(await openImage(storage)) };
}

/** Writes as the core does, edges too. */
async function write(image: FormatImage, offset: number, length: number) {
  const allocation = await image.allocate!(offset, length);
  const { child, hostOffset, copyBefore, copyAfter } = allocation;
  await child.write(hostOffset - copyBefore, new Uint8Array(copyBefore + allocation.length + copyAfter).fill(1));
  await allocation.commit();
  return allocation;
}

describe('subclusters', () => {
  it('are copied to their own boundaries, not to those of the cluster', async () => {
    const { image } = await openNew();
    const allocation = await write(image, CLUSTER + 3 * SUBCLUSTER + 512, SUBCLUSTER);
    expect(allocation).toMatchObject({ length: SUBCLUSTER, copyBefore: 512, copyAfter: SUBCLUSTER - 512 });
    const start = CLUSTER + 3 * SUBCLUSTER;
    expect(await image.map(CLUSTER, CLUSTER)).toMatchObject({ kind: 'backing', length: 3 * SUBCLUSTER });
    const { hostOffset } = await image.map(start, CLUSTER);
    expect(await image.map(start, CLUSTER)).toMatchObject({ kind: 'data', length: 2 * SUBCLUSTER, writable: true });
    expect(await image.map(start + 2 * SUBCLUSTER, CLUSTER)).toMatchObject({ kind: 'backing' });
    // The next ones go into the same host cluster. One that holds data already needs no copy.
    const second = await write(image, start + SUBCLUSTER, 2 * SUBCLUSTER + 512);
    expect(second).toMatchObject({ copyBefore: 0, copyAfter: SUBCLUSTER - 512, hostOffset: hostOffset + SUBCLUSTER });
    expect(await image.map(start, CLUSTER)).toMatchObject({ kind: 'data', length: 4 * SUBCLUSTER, hostOffset });
  });

  it('become zero one by one, and keep their space', async () => {
    const { image, storage } = await openNew();
    await write(image, 0, 2 * CLUSTER);
    const { hostOffset } = await image.map(0, 512);
    expect(await image.markZero!(5 * SUBCLUSTER, 30 * SUBCLUSTER, { mayUnmap: true })).toBe(30 * SUBCLUSTER);
    expect(await image.map(0, MiB)).toMatchObject({ kind: 'data', length: 5 * SUBCLUSTER });
    expect(await image.map(5 * SUBCLUSTER, MiB)).toMatchObject({
      kind: 'zero',
      length: 30 * SUBCLUSTER,
      hostOffset: hostOffset + 5 * SUBCLUSTER,
    });
    expect(await image.map(35 * SUBCLUSTER, MiB)).toMatchObject({ kind: 'data', length: 29 * SUBCLUSTER });
    // A whole cluster gives its space back.
    await image.markZero!(0, CLUSTER, { mayUnmap: true });
    expect(await image.map(0, CLUSTER)).toMatchObject({ kind: 'zero', length: CLUSTER, hostOffset: -1 });
    await image.close();
    expectSound(await checkFile(storage.content), 'after zeroing', 'forbidden');
  });

  it('let what was preallocated show the backing file until it is written', async () => {
    const base = new SimulatedStorage({ initial: new Uint8Array(MiB).fill(7), readOnly: true });
    const { bytes } = await Qcow2File.create({
      size: MiB,
      extended_l2: true,
      preallocation: 'metadata',
      backing_file: 'base',
      backing_fmt: 'raw',
    });
    const storage = new SimulatedStorage({ initial: bytes });
    const { graph, disk } = await openQcow2(storage, {}, base);
    const fileBytes = storage.content.length;
    await disk.write(CLUSTER, new Uint8Array(512).fill(1));
    const view = new Uint8Array(CLUSTER + 1024);
    await disk.read(0, view);
    expect([view[0], view[CLUSTER], view[CLUSTER + 511], view[CLUSTER + 512]]).toEqual([7, 1, 1, 7]);
    expect(storage.content.length).toBe(fileBytes);
    await graph.close(disk);
  });

  it('that a disk does not reach hide the backing file when it grows', async () => {
    const base = new SimulatedStorage({ initial: new Uint8Array(2 * MiB).fill(7), readOnly: true });
    const size = CLUSTER + 4 * SUBCLUSTER - 512;
    const { bytes } = await Qcow2File.create({ size, extended_l2: true, backing_file: 'base', backing_fmt: 'raw' });
    const { graph, disk } = await openQcow2(new SimulatedStorage({ initial: bytes }), {}, base);
    await disk.resize(MiB);
    const view = new Uint8Array(MiB);
    await disk.read(0, view);
    expect(view.subarray(0, size).every((byte) => byte === 7)).toBe(true);
    expect(view.subarray(size).every((byte) => byte === 0)).toBe(true);
    await graph.close(disk);
  });

  it.each([
    [
      'stored and zero',
      0x0000_0001_0000_0001n,
      /stored and that they are zero/,
      /corrupted subcluster allocation bitmap/,
    ],
    ['of a compressed cluster', 1n, /is compressed and has subclusters/, /compressed cluster 0 with non-zero/],
    ['stored nowhere', 1n, /stored nowhere/, /Unallocated cluster has non-zero subcluster allocation map/],
  ])('that are %s are refused, and found by a check', async (name, bitmap, refused, found) => {
    const file = await Qcow2File.create({ size: MiB, extended_l2: true, preallocation: 'metadata' });
    const at = file.l2Entry(0);
    file.setUint64(at + 8, bitmap);
    if (name.includes('compressed')) file.setUint64(at, (1n << 62n) | 0x50000n);
    if (name.includes('nowhere')) file.setUint64(at, 0n);
    const storage = new SimulatedStorage({ initial: file.bytes });
    const { result } = await checkStorage(storage, 'none');
    expect(result.findings.map(({ message }) => message).join('\n')).toMatch(found);
    const { image } = await openImage(storage);
    expect(() => image.map(0, 512)).toThrow(refused);
    expect(await image.map(CLUSTER, 512)).toMatchObject({ kind: 'backing' });
  });
});

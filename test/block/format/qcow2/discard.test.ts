/** What becomes of host clusters that the guest discards. */
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import type { BlockBackend } from '../../../../src/block/graph/backend.ts';
import { createSnapshot } from '../../../../src/block/image/snapshot.ts';
import { CountingStorage } from '../../../support/counting-storage.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { Qcow2File } from '../../../support/qcow2-damage.ts';
import { makeQcow2, openQcow2 } from '../../../support/qcow2-session.ts';
import { LastingStorage } from '../../../support/scenario.ts';

const KiB = 1024;
const CLUSTER = 64 * KiB;
const KEEP = { discard: 'unmap', 'discard-no-unref': true } as const;

async function storageWith(options: Readonly<Record<string, unknown>> = {}): Promise<LastingStorage> {
  return new LastingStorage({ initial: await makeQcow2({ size: 16 * CLUSTER, ...options }) });
}

/** The first halves of the first L2 entries. */
function entries({ content }: LastingStorage, entryLength = 8): bigint[] {
  const file = new Qcow2File(content.toBytes());
  const table = Number(file.entry(file.l1Offset) & 0x00ff_ffff_ffff_fe00n);
  return [0, 1, 2, 3].map((index) => file.entry(table + index * entryLength));
}

async function isZero(disk: BlockBackend, offset: number, length: number): Promise<boolean> {
  const bytes = new Uint8Array(length).fill(1);
  await disk.read(offset, bytes);
  return bytes.every((byte) => byte === 0);
}

describe('discard-no-unref', () => {
  it.each([
    ['a discard', (disk: BlockBackend) => disk.discard(CLUSTER, 2 * CLUSTER)],
    ['zeroes that may unmap', (disk: BlockBackend) => disk.writeZeroes(CLUSTER, 2 * CLUSTER, { mayUnmap: true })],
  ])('%s leaves host clusters reserved, which the next write uses again', async (_name, discard) => {
    const storage = await storageWith();
    const { graph, disk } = await openQcow2(storage, KEEP);
    await disk.write(0, new Uint8Array(4 * CLUSTER).fill(7));
    await disk.flush();
    const before = entries(storage);
    await discard(disk);
    await disk.flush();
    expect(entries(storage)).toEqual([before[0], before[1]! | 1n, before[2]! | 1n, before[3]]);
    expect(await isZero(disk, CLUSTER, 2 * CLUSTER)).toBe(true);
    await disk.write(9 * CLUSTER, new Uint8Array(CLUSTER).fill(8));
    await disk.write(CLUSTER + 512, new Uint8Array(512).fill(9));
    expect(await isZero(disk, CLUSTER + 1024, CLUSTER)).toBe(true);
    await graph.close(disk);
    expect(entries(storage)).toEqual([before[0], before[1], before[2]! | 1n, before[3]]);
    expectSound(await checkFile(storage.content), 'discarded and written again', 'forbidden');
  });

  it('without it they are free', async () => {
    const storage = await storageWith();
    const { graph, disk } = await openQcow2(storage, { discard: 'unmap' });
    await disk.write(0, new Uint8Array(4 * CLUSTER).fill(7));
    await disk.discard(CLUSTER, 2 * CLUSTER);
    await graph.close(disk);
    expect(entries(storage).slice(1, 3)).toEqual([1n, 1n]);
  });

  it.each([
    [true, 1],
    [false, 0],
  ])('tells the file of them as pass-discard-request says (%s)', async (pass, discards) => {
    const counting = new CountingStorage(await storageWith());
    const { graph, disk } = await openQcow2(counting, { ...KEEP, 'pass-discard-request': pass });
    await disk.write(0, new Uint8Array(4 * CLUSTER).fill(7));
    await disk.flush();
    counting.take();
    await disk.discard(CLUSTER, 2 * CLUSTER);
    await disk.flush();
    expect(counting.take()).toMatchObject({ discards });
    await graph.close(disk);
  });

  it('subclusters stay reserved too', async () => {
    const storage = await storageWith({ extended_l2: true });
    const { graph, disk } = await openQcow2(storage, KEEP);
    await disk.write(0, new Uint8Array(2 * CLUSTER).fill(7));
    await disk.flush();
    const before = entries(storage, 16);
    await disk.discard(0, CLUSTER);
    expect(await isZero(disk, 0, CLUSTER)).toBe(true);
    await graph.close(disk);
    expect(entries(storage, 16)).toEqual(before);
    expectSound(await checkFile(storage.content), 'discarded', 'forbidden');
  });

  it('what a snapshot has too is given up: it is not to be written in place, nor discarded in the file', async () => {
    const storage = await storageWith();
    const counting = new CountingStorage(storage);
    const { graph, disk } = await openQcow2(counting, KEEP);
    await disk.write(0, new Uint8Array(4 * CLUSTER).fill(7));
    await startAsync(createSnapshot(disk.node, { name: 'kept' }));
    counting.take();
    await disk.discard(CLUSTER, 2 * CLUSTER);
    await disk.flush();
    expect(counting.take()).toMatchObject({ discards: 0 });
    await graph.close(disk);
    expect(entries(storage).slice(1, 3)).toEqual([1n, 1n]);
    expectSound(await checkFile(storage.content), 'discarded beside a snapshot', 'forbidden');
  });

  it('is refused in version 2, which cannot say that a cluster is zero', async () => {
    const storage = await storageWith({ compat: '0.10' });
    await expect(openQcow2(storage, KEEP)).rejects.toThrow(/discard-no-unref is only supported since qcow2 version 3/);
  });
});

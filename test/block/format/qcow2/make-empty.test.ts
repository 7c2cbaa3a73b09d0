/** Giving every cluster back: the backing file shows, snapshots stay, and QEMU finds nothing wrong. */
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { FIELD } from '../../../../src/block/format/qcow2/layout.ts';
import type { ImageNode } from '../../../../src/block/graph/image-node.ts';
import { createSnapshot, loadSnapshot } from '../../../../src/block/image/snapshot.ts';
import { CountingStorage } from '../../../support/counting-storage.ts';
import { checkFile, checkStorage, expectSound } from '../../../support/qcow2-check.ts';
import { Qcow2File } from '../../../support/qcow2-file.ts';
import { makeQcow2, openQcow2, readDisk } from '../../../support/qcow2-session.ts';
import { powerCuts } from '../../../support/power-cut.ts';
import { equalBytes, patternedBytes, Random } from '../../../support/random.ts';
import { LastingStorage } from '../../../support/scenario.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';
import type { SparseBytes } from '../../../support/sparse-bytes.ts';

const KiB = 1024;
const SIZE = 300 * KiB;

const cases = [
  { compat: '0.10', cluster_size: 512 },
  { compat: '1.1', cluster_size: 4096 },
  { compat: '1.1', cluster_size: 512, lazy_refcounts: true },
  { compat: '1.1', cluster_size: 16 * KiB, extended_l2: true },
] as const;

describe('make empty', () => {
  it.each(cases)('shows the backing file everywhere, and gives the space back: %o', async (options) => {
    const base = patternedBytes(1, 0, SIZE).slice();
    const empty = await makeQcow2({ size: SIZE, ...options, backing_file: 'base', backing_fmt: 'raw' });
    const storage = new LastingStorage({ initial: empty });
    const { graph, disk } = await openQcow2(storage, {}, new SimulatedStorage({ initial: base, readOnly: true }));
    for (const offset of [0, 64 * KiB, 250 * KiB]) await disk.write(offset, patternedBytes(2, offset, 40 * KiB));
    await disk.writeZeroes(100 * KiB, 64 * KiB);
    await disk.flush();
    const full = storage.content.length;
    const { image } = disk.node as ImageNode;
    await image.makeEmpty!();
    expect(equalBytes(await readDisk(disk), base)).toBe(true);
    await disk.write(512, patternedBytes(3, 512, 512));
    await graph.close(disk);
    expect(storage.content.length).toBeLessThan(full);
    expectSound(await checkFile(storage.content), 'emptied', 'forbidden');
  });

  it.each(cases)('leaves snapshots as they are: %o', async (options) => {
    const storage = new LastingStorage({ initial: await makeQcow2({ size: SIZE, ...options }) });
    const { graph, disk } = await openQcow2(storage);
    const data = patternedBytes(2, 0, 200 * KiB).slice();
    await disk.write(0, data);
    await startAsync(createSnapshot(disk.node, { name: 'kept' }));
    await disk.write(0, patternedBytes(3, 0, 9 * KiB));
    await (disk.node as ImageNode).image.makeEmpty!();
    expect((await readDisk(disk)).every((byte) => byte === 0)).toBe(true);
    await graph.close(disk);
    expectSound(await checkFile(storage.content), 'emptied', 'forbidden');
    const reader = await openQcow2(new LastingStorage({ initial: storage.content }), { 'read-only': true });
    await startAsync(loadSnapshot(reader.disk.node, 'kept'));
    expect(equalBytes((await readDisk(reader.disk)).subarray(0, data.length), data)).toBe(true);
    await reader.graph.close(reader.disk);
  });

  it('of a version 3 image leaves what a new one has, with few requests however much there was', async () => {
    const requests: number[] = [];
    for (const written of [1, 40]) {
      const storage = new LastingStorage({ initial: await makeQcow2({ size: 96 * 2 ** 20, cluster_size: 4096 }) });
      const fresh = storage.content.length;
      const counting = new CountingStorage(storage);
      const { graph, disk } = await openQcow2(counting);
      // One L2 table each.
      for (let table = 0; table < written; table++) await disk.write(table * 2 ** 21, new Uint8Array(4096).fill(1));
      await disk.flush();
      const before = { ...counting.counts };
      await (disk.node as ImageNode).image.makeEmpty!();
      requests.push(counting.counts.reads + counting.counts.writes - before.reads - before.writes);
      expect(storage.content.length).toBe(fresh);
      expectSound(await checkFile(storage.content), 'emptied', 'forbidden');
      await disk.write(0, new Uint8Array(4096).fill(2));
      await graph.close(disk);
      expectSound(await checkFile(storage.content), 'written again', 'forbidden');
    }
    expect(requests[1]).toBe(requests[0]);
    expect(requests[0]).toBeLessThan(10);
  });

  it.each([1, 2, 3, 4, 5, 6])(
    'puts new tables beside an L1 table in cluster %i, whenever the power is cut',
    async (at) => {
      const file = new Qcow2File(await makeQcow2({ size: 128 * KiB, cluster_size: 512 }));
      const made = new LastingStorage({ initial: moveL1(file, at) });
      await checkStorage(made, 'all');
      const filled = await openQcow2(made);
      for (const offset of [0, 64 * KiB]) await filled.disk.write(offset, new Uint8Array(4 * KiB).fill(7));
      const full = await readDisk(filled.disk);
      await filled.graph.close(filled.disk);
      expectSound(await checkFile(made.content), 'filled', 'forbidden');
      const storage = new LastingStorage({ initial: made.content });
      const { graph, disk } = await openQcow2(storage);
      await (disk.node as ImageNode).image.makeEmpty!();
      expect((await readDisk(disk)).every((byte) => byte === 0)).toBe(true);
      expectSound(await checkFile(storage.content), 'emptied', 'forbidden');
      expect(storage.content.length).toBeLessThan(made.content.length);
      for (const cut of powerCuts(storage, { random: new Random(at), samples: 4 })) {
        const after = new LastingStorage({ initial: cut.content });
        const reopened = await openQcow2(after);
        const seen = await readDisk(reopened.disk);
        const isRight = seen.every((byte, index) => byte === 0 || byte === full[index]);
        expect(isRight, cut.description).toBe(true);
        await reopened.graph.close(reopened.disk);
        expectSound(await checkFile(after.content), cut.description, 'allowed');
      }
      await disk.write(4096, new Uint8Array(4 * KiB).fill(8));
      await graph.close(disk);
      expectSound(await checkFile(storage.content), 'written again', 'forbidden');
    },
  );
});

/** Puts the L1 table, of one cluster, into another cluster, and what is there into its own. A repair corrects the rest. */
function moveL1(file: Qcow2File, cluster: number): SparseBytes {
  const { clusterSize } = file;
  const bytes = file.bytes.toBytes();
  const grown = new Uint8Array(Math.max(bytes.length, (cluster + 1) * clusterSize));
  grown.set(bytes);
  const moved = new Qcow2File(grown);
  const old = Number(file.uint64(FIELD.l1TableOffset));
  const there = grown.slice(cluster * clusterSize, (cluster + 1) * clusterSize);
  moved.bytes.write(cluster * clusterSize, grown.slice(old, old + clusterSize));
  moved.bytes.write(old, there);
  moved.setUint64(FIELD.l1TableOffset, cluster * clusterSize);
  const table = Number(file.uint64(FIELD.refcountTableOffset));
  const place = table === cluster * clusterSize ? old : table;
  moved.setUint64(FIELD.refcountTableOffset, place);
  if (Number(moved.uint64(place)) === cluster * clusterSize) moved.setUint64(place, old);
  return moved.bytes;
}

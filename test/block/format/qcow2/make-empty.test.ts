/** Giving every cluster back: the backing file shows, snapshots stay, and QEMU finds nothing wrong. */
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import type { ImageNode } from '../../../../src/block/graph/image-node.ts';
import { createSnapshot, loadSnapshot } from '../../../../src/block/image/snapshot.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { makeQcow2, openQcow2, readDisk } from '../../../support/qcow2-session.ts';
import { equalBytes, patternedBytes } from '../../../support/random.ts';
import { LastingStorage } from '../../../support/scenario.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

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
});

/** With `overlap-check` all, the L2 tables of snapshots are looked out for, whatever has become of the snapshots since the open. */
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import type { BlockBackend } from '../../../../src/block/graph/backend.ts';
import type { ImageNode } from '../../../../src/block/graph/image-node.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from '../../../../src/block/image/snapshot.ts';
import { Qcow2File, target } from '../../../support/qcow2-damage.ts';
import { makeQcow2, openQcow2 } from '../../../support/qcow2-session.ts';
import { LastingStorage } from '../../../support/scenario.ts';

const CLUSTER = 4096;
/** What an L2 table leads to. */
const SPAN = CLUSTER * (CLUSTER / 8);
const COPIED = 1n << 63n;

const create = (disk: BlockBackend, name: string) => startAsync(createSnapshot(disk.node, { name }));
const changes: Readonly<Record<string, (disk: BlockBackend) => Promise<unknown>>> = {
  'a snapshot was made': (disk) => create(disk, 'second'),
  'one was applied': (disk) => startAsync(applySnapshot(disk.node, { name: 'first' })),
  'another was deleted': async (disk) => {
    await create(disk, 'second');
    await disk.write(SPAN, new Uint8Array(CLUSTER).fill(3));
    return startAsync(deleteSnapshot(disk.node, { name: 'first' }));
  },
};

/** The active L2 table of the second part of the disk. */
function tableOf(storage: LastingStorage): number {
  const file = new Qcow2File(storage.content.toBytes());
  return target(file.entry(file.l1Offset + 8));
}

describe('a write that lands on the L2 table of a snapshot is refused', () => {
  it.each(Object.keys(changes))('after %s', async (change) => {
    const storage = new LastingStorage({ initial: await makeQcow2({ size: 2 * SPAN, cluster_size: CLUSTER }) });
    const { disk } = await openQcow2(storage, { 'overlap-check': 'all' });
    await disk.write(0, new Uint8Array(CLUSTER).fill(1));
    await disk.write(SPAN, new Uint8Array(CLUSTER).fill(1));
    await create(disk, 'first');
    // Now the places of the first snapshot's tables are known, and the disk has a table that no snapshot has.
    await disk.write(SPAN, new Uint8Array(CLUSTER).fill(2));
    await disk.flush();
    await changes[change]!(disk);
    await disk.flush();
    // The table of the newest snapshot is where an entry of the disk's leads.
    const table = tableOf(storage);
    const file = new Qcow2File(storage.content.toBytes());
    const inactive = target(file.entry(file.snapshotL1().at(-1)!));
    const entry = new Uint8Array(8);
    new DataView(entry.buffer).setBigUint64(0, COPIED | BigInt(inactive));
    storage.content.write(table + 5 * 8, entry);
    await expect((async () => disk.write(SPAN + 5 * CLUSTER, new Uint8Array(CLUSTER)))()).rejects.toThrow(
      /overlaps with inactive L2 table/,
    );
    expect((disk.node as ImageNode).image.info()).toMatchObject({ corrupt: true });
  });
});

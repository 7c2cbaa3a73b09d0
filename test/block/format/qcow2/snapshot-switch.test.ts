/** How snapshots are made, applied and deleted: everything is written elsewhere, and one write of the header switches to it. */
import { describe, expect, it } from 'vitest';
import { startAsync, type Co } from '../../../../src/block/co.ts';
import type { FormatImage } from '../../../../src/block/driver.ts';
import { BlockError } from '../../../../src/block/error.ts';
import { FIELD, INCOMPATIBLE_DIRTY } from '../../../../src/block/format/qcow2/layout.ts';
import type { BlockNode } from '../../../../src/block/graph/node.ts';
import { applySnapshot, createSnapshot, deleteSnapshot } from '../../../../src/block/image/snapshot.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { openImage, Qcow2File } from '../../../support/qcow2-file.ts';
import { makeQcow2, openQcow2, readDisk } from '../../../support/qcow2-session.ts';
import { LastingStorage } from '../../../support/scenario.ts';
import type { LogEvent, SimulatedStorage } from '../../../support/simulated-storage.ts';
import type { SparseBytes } from '../../../support/sparse-bytes.ts';

const KiB = 1024;
const MiB = KiB ** 2;

async function storageWith(options: Readonly<Record<string, unknown>>): Promise<LastingStorage> {
  return new LastingStorage({ initial: await makeQcow2(options) });
}

async function sound(storage: SimulatedStorage, what: string): Promise<void> {
  expectSound(await checkFile(storage.content), what, 'forbidden');
}

/** Writes of the header among some events. */
function headerWrites(log: readonly LogEvent[]): number {
  return log.filter(
    (event) => event.kind === 'begin' && event.change.kind === 'write' && event.change.offset < FIELD.headerLength,
  ).length;
}

const CHANGES: readonly (readonly [string, (node: BlockNode) => Co<unknown>])[] = [
  ['create', (node) => createSnapshot(node, { name: 'new' })],
  ['apply', (node) => applySnapshot(node, 'old')],
  ['delete', (node) => deleteSnapshot(node, 'old')],
];

describe.each(['0.10', '1.1'])('a change of the snapshots of an image of level %s', (compat) => {
  it.each(CHANGES)('writes the header once, and nothing that it led to before: %s', async (_name, change) => {
    const storage = await storageWith({ size: MiB, cluster_size: 4 * KiB, compat });
    const { graph, disk } = await openQcow2(storage);
    await disk.write(0, new Uint8Array(100 * KiB).fill(1));
    await startAsync(createSnapshot(disk.node, { name: 'old' }));
    await disk.write(8 * KiB, new Uint8Array(16 * KiB).fill(2));
    await disk.flush();
    const before = storage.content.copy();
    const from = storage.log.length;
    await startAsync(change(disk.node));
    const log = storage.log.slice(from);
    expect(headerWrites(log)).toBe(1);
    // All that came before that write changed nothing but counts of what was taken.
    const upTo = log.findIndex((event) => event.kind === 'begin' && headerWrites([event]) === 1);
    for (const event of log.slice(0, upTo)) {
      if (event.kind !== 'begin' || event.change.kind !== 'write') continue;
      before.write(event.change.offset, event.change.data);
    }
    expectSound(await checkFile(before), 'before the switch', 'allowed');
    expect(new Qcow2File(before).uint32(FIELD.nbSnapshots)).toBe(1);
    if (compat === '1.1') {
      expect(new Qcow2File(before).uint64(FIELD.incompatibleFeatures) & INCOMPATIBLE_DIRTY).toBe(0n);
    }
    await graph.close(disk);
    await sound(storage, 'afterwards');
  });
});

describe('the refcount table', () => {
  // 64 blocks of 256 counts: what a snapshot needs reaches behind the 16,384th cluster, at different moments. At 322 it is the new table
  // itself that does not fit.
  it.each([2, 90, 200, 320, 321, 322])('grows on the way, with %i clusters left', async (left) => {
    const storage = await storageWith({ size: 9 * MiB, cluster_size: 512 });
    const { graph, disk } = await openQcow2(storage, { 'refcount-cache-size': 2048 });
    const data = new Uint8Array(64 * KiB).fill(3);
    const end = 16_384 - left;
    for (let offset = 0; ; offset += data.length) {
      const used = Math.ceil(storage.content.length / 512);
      const length = Math.min(data.length, Math.floor((end - used) * 0.9) * 512);
      if (length < 512) break;
      await disk.write(offset, data.subarray(0, length));
      await disk.flush();
    }
    const clusters = (): number => new Qcow2File(storage.content).uint32(FIELD.refcountTableClusters);
    expect(clusters()).toBe(1);
    const content = await readDisk(disk);
    await startAsync(createSnapshot(disk.node, { name: 'x' }));
    expect(clusters()).toBeGreaterThan(1);
    await disk.write(MiB, new Uint8Array(MiB).fill(4));
    await startAsync(applySnapshot(disk.node, 'x'));
    expect(Buffer.compare(content, await readDisk(disk))).toBe(0);
    await startAsync(deleteSnapshot(disk.node, 'x'));
    await graph.close(disk);
    await sound(storage, 'afterwards');
  });
});

describe('space that becomes free', () => {
  async function imageWithData(options: Readonly<Record<string, unknown>>): Promise<{
    storage: LastingStorage;
    image: FormatImage;
    /** Bytes that the file was told of as no longer needed, since the last call. */
    discarded: () => number;
  }> {
    const storage = await storageWith({ size: MiB, cluster_size: 4 * KiB });
    const { graph, disk } = await openQcow2(storage);
    await disk.write(0, new Uint8Array(200 * KiB).fill(1));
    await startAsync(createSnapshot(disk.node, { name: 'old' }));
    await disk.write(0, new Uint8Array(200 * KiB).fill(2));
    await graph.close(disk);
    let bytes = 0;
    const discard = storage.discard!.bind(storage);
    storage.discard = (offset, length) => {
      bytes += length;
      return discard(offset, length);
    };
    const { image } = await openImage(storage, options);
    const discarded = () => {
      const sum = bytes;
      bytes = 0;
      return sum;
    };
    return { storage, image, discarded };
  }

  it.each(['apply', 'delete'] as const)('is told to the file with pass-discard-other: %s', async (verb) => {
    const { storage, image, discarded } = await imageWithData({ 'pass-discard-other': true });
    await image.snapshots![verb]('old');
    expect(discarded()).toBeGreaterThanOrEqual(200 * KiB);
    await image.close();
    await sound(storage, 'afterwards');
  });

  it('is kept without it', async () => {
    const { image, discarded } = await imageWithData({});
    await image.snapshots!.delete('old');
    expect(discarded()).toBe(0);
    await image.close();
  });
});

describe('a header whose write fails, though it is on the disk,', () => {
  it.each([
    ['is made what it was, and the image goes on', 1],
    ['and cannot be made what it was: nothing more is written', 2],
  ])('%s', async (_what, times) => {
    const storage = await storageWith({ size: MiB, cluster_size: 512, compat: '0.10' });
    const { graph, disk } = await openQcow2(storage);
    // Nearly all that one refcount block counts: some of what the snapshot needs is counted by one that both tables have.
    await disk.write(0, new Uint8Array(120 * KiB).fill(1));
    await disk.flush();
    const write = storage.write.bind(storage);
    let failed = 0;
    storage.write = (offset, data, file) => {
      if (offset >= FIELD.headerLength || failed === times) return write(offset, data, file);
      failed++;
      // Synchronous, so that nothing is waited for.
      if (failed === 1) void write(offset, data, file);
      throw new BlockError('io', 'The header cannot be written');
    };
    await expect(startAsync(createSnapshot(disk.node, { name: 'x' }))).rejects.toMatchObject({ kind: 'io' });
    expect(failed).toBe(times);
    const again = async (): Promise<void> => disk.write(0, new Uint8Array(8 * KiB).fill(2));
    if (times === 1) {
      await again();
      await startAsync(createSnapshot(disk.node, { name: 'y' }));
    } else {
      await expect(again()).rejects.toThrow(/it is not known whether it is on the disk/);
    }
    await graph.close(disk);
    await sound(storage, 'afterwards');
    const { image } = await openImage(storage);
    expect(image.snapshots!.list().map(({ name }) => name)).toEqual([times === 1 ? 'y' : 'x']);
  });
});

/** Moves the refcount table far behind everything, where it takes more clusters than a block counts; the blocks in between are missing. */
function withGappyTable(content: SparseBytes): void {
  const file = new Qcow2File(content);
  const { clusterSize } = file;
  const perBlock = clusterSize / 2;
  const tableClusters = perBlock + 1;
  const firstBlock = 100;
  const table = firstBlock * perBlock * clusterSize;
  const blocks = table + tableClusters * clusterSize;
  const blockZero = file.uint64(Number(file.uint64(FIELD.refcountTableOffset)));
  content.truncate(blocks + 2 * clusterSize);
  file.setUint64(table, blockZero);
  for (const index of [0, 1]) file.setUint64(table + (firstBlock + index) * 8, blocks + index * clusterSize);
  // A count takes two bytes: the table's clusters, then those of its two blocks.
  content.write(
    blocks,
    Uint8Array.from({ length: 2 * (tableClusters + 2) }, (_byte, at) => at % 2),
  );
  file.setUint64(FIELD.refcountTableOffset, table).setUint32(FIELD.refcountTableClusters, tableClusters);
}

it('takes a place for a refcount table that is longer than what a block counts, and has gaps', async () => {
  const content = await makeQcow2({ size: 64 * KiB, cluster_size: 512 });
  withGappyTable(content);
  const storage = new LastingStorage({ initial: content });
  expectSound(await checkFile(storage.content), 'the image as it is made', 'allowed');
  const { graph, disk } = await openQcow2(storage);
  await disk.write(0, new Uint8Array(8 * KiB).fill(1));
  await startAsync(createSnapshot(disk.node, { name: 'one' }));
  await disk.write(0, new Uint8Array(4 * KiB).fill(2));
  await startAsync(applySnapshot(disk.node, 'one'));
  await startAsync(deleteSnapshot(disk.node, 'one'));
  const expected = new Uint8Array(64 * KiB).fill(1, 0, 8 * KiB);
  expect(await readDisk(disk)).toEqual(expected);
  await graph.close(disk);
  expectSound(await checkFile(storage.content), 'after it was closed', 'allowed');
});

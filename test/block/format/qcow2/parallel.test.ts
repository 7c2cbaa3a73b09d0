/** Requests that have nothing to do with one another run together; those that change one cluster wait for each other. */
import { describe, expect, it } from 'vitest';
import { HoldingStorage, settleDown } from '../../../support/holding-storage.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { makeQcow2, openQcow2 } from '../../../support/qcow2-session.ts';
import { patternedBytes } from '../../../support/random.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const CLUSTER = 64 * KiB;
const TOGETHER = 12;

async function open(create: Readonly<Record<string, unknown>> = {}, options: Readonly<Record<string, unknown>> = {}) {
  const storage = new HoldingStorage(await makeQcow2({ size: 64 * MiB, ...create }));
  const { graph, disk } = await openQcow2(storage, options);
  return { storage, disk, graph };
}

/** Each in a cluster of its own, far from the others. */
const offsets = Array.from({ length: TOGETHER }, (_, index) => index * 4 * MiB + index * 512);

async function writeAll(disk: Awaited<ReturnType<typeof open>>['disk']): Promise<void> {
  for (const offset of offsets) await disk.write(offset, patternedBytes(1, offset, 4096));
}

function startReads(disk: Awaited<ReturnType<typeof open>>['disk']): Promise<unknown> {
  return Promise.all(
    offsets.map(async (offset) => {
      const buffer = new Uint8Array(4096);
      await disk.read(offset, buffer);
      expect(buffer).toEqual(patternedBytes(1, offset, 4096));
    }),
  );
}

describe('qcow2 requests together', () => {
  it('reads of data are all in flight at once', async () => {
    const { storage, disk, graph } = await open();
    await writeAll(disk);
    storage.hold(({ kind }) => kind === 'read');
    const reads = startReads(disk);
    await settleDown();
    expect(storage.held.length).toBe(TOGETHER);
    storage.release();
    await reads;
    await graph.close(disk);
  });

  it('reads whose tables are not cached load them at once, each table once', async () => {
    // Slices of 512 bytes map 4 MiB: every read needs another one.
    const first = await open();
    await writeAll(first.disk);
    await first.graph.close(first.disk);
    const storage = new HoldingStorage(first.storage.content);
    const { graph, disk } = await openQcow2(storage, { 'l2-cache-entry-size': 512, 'l2-cache-size': MiB });
    storage.hold(({ kind }) => kind === 'read');
    const reads = Promise.all([startReads(disk), startReads(disk)]);
    await settleDown();
    expect(storage.held.filter(({ length }) => length === 512).length).toBe(TOGETHER);
    storage.release();
    await reads;
    await graph.close(disk);
  });

  it('writes in place are all in flight at once', async () => {
    const { storage, disk, graph } = await open();
    await writeAll(disk);
    storage.hold(({ kind }) => kind === 'write');
    const writes = Promise.all(offsets.map(async (offset) => disk.write(offset, patternedBytes(2, offset, 4096))));
    await settleDown();
    expect(storage.held.length).toBe(TOGETHER);
    storage.release();
    await writes;
    await graph.close(disk);
  });

  it('allocating writes to different clusters write their data at once', async () => {
    const { storage, disk, graph } = await open({ preallocation: 'off' });
    // The L2 table is there: what follows writes data only.
    await disk.write(0, new Uint8Array(512));
    await disk.flush();
    storage.hold(({ kind }) => kind === 'write');
    const places = Array.from({ length: TOGETHER }, (_, index) => (index + 1) * 2 * CLUSTER);
    const writes = Promise.all(places.map(async (offset) => disk.write(offset, patternedBytes(3, offset, CLUSTER))));
    await settleDown();
    expect(storage.held.map(({ length }) => length)).toEqual(places.map(() => CLUSTER));
    // All to places of their own.
    expect(new Set(storage.held.map(({ offset }) => offset)).size).toBe(TOGETHER);
    storage.release();
    await writes;
    await graph.close(disk);
    expectSound(await checkFile(storage.content), 'after closing', 'forbidden');
  });

  it('allocating writes to one cluster wait for each other, and one cluster is allocated', async () => {
    const { storage, disk, graph } = await open();
    await disk.write(0, new Uint8Array(512));
    await disk.flush();
    storage.hold(({ kind }) => kind === 'write');
    const places = Array.from({ length: TOGETHER }, (_, index) => 2 * CLUSTER + index * 4096);
    const writes = Promise.all(places.map(async (offset) => disk.write(offset, patternedBytes(4, offset, 4096))));
    await settleDown();
    expect(storage.held.length).toBe(1);
    storage.release();
    await writes;
    const buffer = new Uint8Array(TOGETHER * 4096);
    await disk.read(2 * CLUSTER, buffer);
    for (const [index, offset] of places.entries()) {
      expect(buffer.subarray(index * 4096, (index + 1) * 4096)).toEqual(patternedBytes(4, offset, 4096));
    }
    await graph.close(disk);
    const checked = await checkFile(storage.content);
    expect(checked.result.allocatedClusters).toBe(2);
    expectSound(checked, 'after closing', 'forbidden');
  });

  it('reads go on while a flush, or another allocation, is under way', async () => {
    const { storage, disk, graph } = await open();
    await writeAll(disk);
    storage.hold(({ kind }) => kind === 'flush');
    const flush = (async () => disk.flush())();
    const other = (async () => disk.write(MiB, new Uint8Array(512)))();
    await settleDown();
    expect(storage.held.map(({ kind }) => kind)).toContain('flush');
    await startReads(disk);
    storage.release();
    await Promise.all([flush, other]);
    await graph.close(disk);
  });
});

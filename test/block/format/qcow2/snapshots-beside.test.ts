/** Internal snapshots at their limits, and machine state beside encryption. */
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { FIELD, MAX_SNAPSHOTS } from '../../../../src/block/format/qcow2/layout.ts';
import type { SnapshotEntry } from '../../../../src/block/format/qcow2/snapshot-entry.ts';
import { encodeSnapshotTable } from '../../../../src/block/format/qcow2/snapshot-table.ts';
import {
  applySnapshot,
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
  readVmState,
  writeVmState,
} from '../../../../src/block/image/snapshot.ts';
import { TEST_SECRET } from '../../../support/driver-contexts.ts';
import { checkFile, checkStorage, expectSound } from '../../../support/qcow2-check.ts';
import { Qcow2File } from '../../../support/qcow2-file.ts';
import { makeQcow2, openQcow2 } from '../../../support/qcow2-session.ts';
import { equalBytes, patternedBytes } from '../../../support/random.ts';
import { LastingStorage } from '../../../support/scenario.ts';

const CLUSTER = 65_536;

/** A snapshot of a disk without any content. */
function emptySnapshot(number: number): SnapshotEntry {
  const id = String(number);
  const name = `snapshot ${id}`;
  const encoder = new TextEncoder();
  const info = {
    id,
    name,
    dateSeconds: 0,
    dateNanoseconds: 0,
    vmClockNanoseconds: 0n,
    vmStateSize: 0,
    diskSize: 0,
  };
  return {
    info,
    idBytes: encoder.encode(id),
    nameBytes: encoder.encode(name),
    l1Offset: CLUSTER,
    l1Entries: 0,
    unknownExtra: new Uint8Array(0),
  };
}

/** An image with so many snapshots, whose table was put together here. */
async function imageWith(count: number): Promise<LastingStorage> {
  const file = await Qcow2File.create({ size: 0, cluster_size: CLUSTER });
  const table = encodeSnapshotTable(Array.from({ length: count }, (_value, index) => emptySnapshot(index + 1)));
  const offset = Math.ceil(file.bytes.length / CLUSTER) * CLUSTER;
  file.bytes.write(offset, table);
  file.setUint32(FIELD.nbSnapshots, count);
  file.setUint64(FIELD.snapshotsOffset, offset);
  const storage = new LastingStorage({ initial: file.bytes });
  const { result } = await checkStorage(storage, 'all');
  expect(result).toMatchObject({ corruptions: 0, checkErrors: 0 });
  return storage;
}

describe('65,536 snapshots', () => {
  it('are all that an image takes; when one is deleted another one has room', async () => {
    const storage = await imageWith(MAX_SNAPSHOTS - 1);
    const { graph, disk } = await openQcow2(storage);
    await startAsync(createSnapshot(disk.node, { name: 'the last' }));
    const more = () => startAsync(createSnapshot(disk.node, { name: 'one more' }));
    await expect(more()).rejects.toThrow(/An image holds at most 65536 snapshots/);
    expect(listSnapshots(disk.node)).toHaveLength(MAX_SNAPSHOTS);
    expect(listSnapshots(disk.node).at(-1)).toMatchObject({ id: '65536', name: 'the last' });
    await startAsync(deleteSnapshot(disk.node, 'snapshot 7'));
    await more();
    await startAsync(applySnapshot(disk.node, 'one more'));
    await graph.close(disk);
    expectSound(await checkFile(storage.content), 'full', 'forbidden');
    const again = await openQcow2(new LastingStorage({ initial: storage.content }), { 'read-only': true });
    const names = listSnapshots(again.disk.node).map(({ name }) => name);
    expect([names.length, names.includes('snapshot 7'), names.at(-1)]).toEqual([MAX_SNAPSHOTS, false, 'one more']);
    await again.graph.close(again.disk);
  });

  it('one over the limit is refused at open', async () => {
    const file = await Qcow2File.create({ size: 0 });
    file.setUint32(FIELD.nbSnapshots, MAX_SNAPSHOTS + 1);
    file.setUint64(FIELD.snapshotsOffset, CLUSTER);
    await expect(openQcow2(new LastingStorage({ initial: file.bytes }))).rejects.toThrow(/at most 65536/);
  });
});

describe('machine state in an encrypted image', () => {
  it.each([
    { 'encrypt.format': 'luks', 'encrypt.iter-time': 1, cluster_size: 4096 },
    { 'encrypt.format': 'luks', 'encrypt.iter-time': 1, extended_l2: true },
    { 'encrypt.format': 'aes', cluster_size: 4096 },
  ])('comes back with its disk, and is nowhere in the file to read: %o', async (options) => {
    const size = 1_000_000 - (1_000_000 % 512);
    const create = { size, 'encrypt.key-secret': TEST_SECRET, ...options };
    const storage = new LastingStorage({ initial: await makeQcow2(create) });
    const open = { encrypt: { 'key-secret': TEST_SECRET } };
    const { graph, disk } = await openQcow2(storage, open);
    const state = patternedBytes(5, 0, 300_007).slice();
    const data = patternedBytes(6, 0, 100_000).slice();
    await disk.write(4096, data);
    await startAsync(writeVmState(disk.node, 0, state.subarray(0, 1001)));
    await startAsync(writeVmState(disk.node, 1001, state.subarray(1001)));
    await startAsync(createSnapshot(disk.node, { name: 'running', vmStateSize: state.length }));
    await disk.write(0, new Uint8Array(200_192).fill(1));
    await startAsync(writeVmState(disk.node, 0, new Uint8Array(state.length).fill(2)));
    await startAsync(createSnapshot(disk.node, { name: 'later', vmStateSize: state.length }));
    await graph.close(disk);
    expectSound(await checkFile(storage.content), 'with states', 'forbidden');
    const bytes = Buffer.from(storage.content.toBytes());
    for (const plain of [state.subarray(1024, 1056), data.subarray(512, 544), new Uint8Array(32).fill(2)]) {
      expect(bytes.includes(Buffer.from(plain))).toBe(false);
    }
    const again = await openQcow2(new LastingStorage({ initial: storage.content }), open);
    await startAsync(applySnapshot(again.disk.node, 'running'));
    const found = new Uint8Array(state.length);
    await startAsync(readVmState(again.disk.node, 0, found));
    expect(equalBytes(found, state)).toBe(true);
    const read = new Uint8Array(data.length);
    await again.disk.read(4096, read);
    expect(equalBytes(read, data)).toBe(true);
    await again.graph.close(again.disk);
  });
});

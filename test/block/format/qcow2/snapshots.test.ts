/** Internal snapshots of qcow2: what they do to the file, field by field, and what is refused. */
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import type { FormatImage, Storage } from '../../../../src/block/driver.ts';
import { FIELD } from '../../../../src/block/format/qcow2/layout.ts';
import {
  applySnapshot,
  createSnapshot,
  deleteSnapshot,
  loadSnapshot,
  readVmState,
  writeVmState,
} from '../../../../src/block/image/snapshot.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { openImage, Qcow2File } from '../../../support/qcow2-file.ts';
import { makeQcow2, openQcow2 } from '../../../support/qcow2-session.ts';
import { equalBytes } from '../../../support/random.ts';
import { LastingStorage } from '../../../support/scenario.ts';

const KiB = 1024;
const MiB = KiB ** 2;

async function storageWith(options: Readonly<Record<string, unknown>>): Promise<LastingStorage> {
  return new LastingStorage({ initial: await makeQcow2(options) });
}

async function imageOn(storage: Storage): Promise<FormatImage> {
  return (await openImage(storage)).image;
}

async function sound(storage: LastingStorage, what: string): Promise<void> {
  expectSound(await checkFile(storage.content), what, 'forbidden');
}

describe('the snapshot table', () => {
  it('ids count on from the largest number', async () => {
    const storage = await storageWith({ size: MiB });
    const { snapshots } = await imageOn(storage);
    for (const name of ['a', 'b', 'a']) await snapshots!.create({ name });
    await snapshots!.delete('2');
    await snapshots!.create({ name: 'c' });
    expect(snapshots!.list().map(({ id, name }) => `${id} ${name}`)).toEqual(['1 a', '3 a', '4 c']);
    await snapshots!.delete('a');
    expect(snapshots!.list().map(({ id }) => id)).toEqual(['3', '4']);
    await sound(storage, 'after all that');
  });

  it('an entry has the fields that the specification gives it', async () => {
    const storage = await storageWith({ size: MiB + 512, cluster_size: 4096 });
    const image = await imageOn(storage);
    await image.snapshots!.create({
      name: 'näme',
      dateSeconds: 11,
      dateNanoseconds: 12,
      vmClockNanoseconds: 13n,
      vmStateSize: 2 ** 32 + 5,
    });
    const file = new Qcow2File(storage.content);
    expect(file.uint32(FIELD.nbSnapshots)).toBe(1);
    const entry = Number(file.uint64(FIELD.snapshotsOffset));
    expect(entry % 4096).toBe(0);
    expect(file.uint32(entry + 8)).toBe(file.uint32(FIELD.l1Size));
    expect(file.uint32(entry + 12)).toBe(1 * 65536 + 5);
    expect([16, 20, 32, 36].map((offset) => file.uint32(entry + offset))).toEqual([11, 12, 0, 24]);
    expect(file.uint64(entry + 24)).toBe(13n);
    const extra = [40, 48, 56].map((offset) => file.uint64(entry + offset));
    expect(extra).toEqual([2n ** 32n + 5n, BigInt(MiB + 512), 2n ** 64n - 1n]);
    const text = new Uint8Array(6);
    storage.content.read(entry + 64, text);
    expect(new TextDecoder().decode(text)).toBe('1näme');
    await image.close();
    const [again] = (await imageOn(storage)).snapshots!.list();
    expect(again).toEqual({
      id: '1',
      name: 'näme',
      dateSeconds: 11,
      dateNanoseconds: 12,
      vmClockNanoseconds: 13n,
      vmStateSize: 2 ** 32 + 5,
      diskSize: MiB + 512,
    });
  });

  it('extra data that is not known is kept', async () => {
    const storage = await storageWith({ size: MiB });
    const image = await imageOn(storage);
    await image.snapshots!.create({ name: 'x' });
    await image.close();
    const file = new Qcow2File(storage.content);
    const entry = Number(file.uint64(FIELD.snapshotsOffset));
    file
      .setUint32(entry + 36, 32)
      .setUint64(entry + 56, 99n)
      .setUint64(entry + 64, 0xabcdefn);
    file.setUint32(entry + 72, 0x31780000);
    const again = new LastingStorage({ initial: file.bytes });
    const { snapshots } = await imageOn(again);
    expect(snapshots!.list()[0]).toMatchObject({ id: '1', name: 'x', instructionCount: 99n });
    await snapshots!.create({ name: 'y' });
    const written = new Qcow2File(again.content);
    const table = Number(written.uint64(FIELD.snapshotsOffset));
    expect(written.uint32(table + 36)).toBe(32);
    expect([written.uint64(table + 56), written.uint64(table + 64)]).toEqual([99n, 0xabcdefn]);
    await sound(again, 'with unknown data');
  });

  it.each([
    [
      'goes on past the end of the file',
      (file: Qcow2File, entry: number) => {
        const bytes = new Uint8Array(64);
        file.bytes.read(entry, bytes);
        const end = file.bytes.length;
        file.bytes.write(end, bytes);
        file.setUint64(FIELD.snapshotsOffset, end).setUint32(end + 12, 0xffffffff);
      },
    ],
    ['holds a size or an offset of 2\\^53 or more', (file: Qcow2File, entry: number) => file.setUint32(entry, 2 ** 31)],
    ['bytes of extra data', (file: Qcow2File, entry: number) => file.setUint32(entry + 36, 0x7fffffff)],
  ])('a table that %s is refused', async (words, damage) => {
    const storage = await storageWith({ size: MiB });
    const image = await imageOn(storage);
    await image.snapshots!.create({ name: 'x' });
    await image.close();
    const file = new Qcow2File(storage.content);
    damage(file, Number(file.uint64(FIELD.snapshotsOffset)));
    const opening = openImage(new LastingStorage({ initial: file.bytes }));
    await expect(opening).rejects.toMatchObject({ kind: 'corrupt' });
    await expect(opening).rejects.toThrow(new RegExp(words));
  });

  it('a snapshot whose L1 table cannot be is neither applied nor deleted', async () => {
    const storage = await storageWith({ size: MiB });
    const image = await imageOn(storage);
    await image.snapshots!.create({ name: 'x' });
    await image.close();
    for (const damage of [
      (file: Qcow2File, entry: number) => file.setUint64(entry, 513),
      (file: Qcow2File, entry: number) => file.setUint64(entry, 2 ** 40),
      (file: Qcow2File, entry: number) => file.setUint32(entry + 8, 0xffffffff),
    ]) {
      const file = new Qcow2File(storage.content.copy());
      damage(file, Number(file.uint64(FIELD.snapshotsOffset)));
      const { snapshots } = await imageOn(new LastingStorage({ initial: file.bytes }));
      for (const change of [() => snapshots!.apply('1'), () => snapshots!.delete('1')]) {
        await expect((async () => change())()).rejects.toMatchObject({ kind: 'corrupt' });
      }
    }
  });

  it('names that are too long and snapshots that are not there are refused', async () => {
    const { snapshots } = await imageOn(await storageWith({ size: MiB }));
    await expect((async () => snapshots!.create({ name: 'é'.repeat(32_768) }))()).rejects.toMatchObject({
      kind: 'invalid',
    });
    await expect((async () => snapshots!.apply('none'))()).rejects.toMatchObject({ kind: 'not-found' });
    await expect((async () => snapshots!.delete('none'))()).rejects.toMatchObject({ kind: 'not-found' });
  });
});

describe('counts and flags', () => {
  it('a snapshot that does not fit into the refcounts leaves the image as it was', async () => {
    const storage = await storageWith({ size: MiB, refcount_bits: 1, cluster_size: 4096 });
    const { graph, disk } = await openQcow2(storage);
    await disk.write(0, new Uint8Array(100 * KiB).fill(1));
    await disk.flush();
    await expect(startAsync(createSnapshot(disk.node, { name: 'x' }))).rejects.toMatchObject({ kind: 'unsupported' });
    await disk.write(0, new Uint8Array(8 * KiB).fill(2));
    await graph.close(disk);
    await sound(storage, 'after the refusal');
  });

  it('version 2 keeps its size while there are snapshots', async () => {
    const storage = await storageWith({ size: MiB, compat: '0.10' });
    const image = await imageOn(storage);
    await image.snapshots!.create({ name: 'x' });
    await expect((async () => image.resize!(2 * MiB, 'off', 0))()).rejects.toThrow(
      "Can't resize a v2 image which has snapshots",
    );
    await image.snapshots!.delete('x');
    await image.resize!(2 * MiB, 'off', 0);
    await image.close();
    await sound(storage, 'after growing');
  });

  it('a disk takes the size that it had', async () => {
    const storage = await storageWith({ size: MiB, cluster_size: 512 });
    const { graph, disk } = await openQcow2(storage);
    await disk.write(MiB - 512, new Uint8Array(512).fill(1));
    await startAsync(createSnapshot(disk.node, { name: 'small' }));
    await disk.resize(9 * MiB);
    await disk.write(9 * MiB - 512, new Uint8Array(512).fill(2));
    await startAsync(createSnapshot(disk.node, { name: 'large' }));
    await startAsync(applySnapshot(disk.node, 'small'));
    expect(disk.length).toBe(MiB);
    await startAsync(applySnapshot(disk.node, { name: 'large' }));
    expect(disk.length).toBe(9 * MiB);
    const sector = new Uint8Array(512);
    await disk.read(9 * MiB - 512, sector);
    expect(sector[0]).toBe(2);
    await startAsync(deleteSnapshot(disk.node, { id: '1', name: 'small' }));
    await expect(startAsync(deleteSnapshot(disk.node, { id: '2', name: 'small' }))).rejects.toMatchObject({
      kind: 'not-found',
    });
    await graph.close(disk);
    await sound(storage, 'after all sizes');
  });
});

describe('machine state', () => {
  it('is kept with a snapshot, and comes back with it', async () => {
    const storage = await storageWith({ size: MiB + 512, cluster_size: 4096 });
    const { graph, disk } = await openQcow2(storage);
    const state = new Uint8Array(3 * MiB + 77);
    for (let at = 0; at < state.length; at += 5000) state[at] = at % 251;
    await disk.write(MiB, new Uint8Array(512).fill(9));
    await startAsync(writeVmState(disk.node, 0, state.subarray(0, 100_001)));
    await startAsync(writeVmState(disk.node, 100_001, state.subarray(100_001)));
    await startAsync(createSnapshot(disk.node, { name: 'first', vmStateSize: state.length }));
    await sound(storage, 'with a state');
    // The next state is another one, and nothing of the first is in it.
    await startAsync(writeVmState(disk.node, 0, new Uint8Array(5000).fill(1)));
    await startAsync(createSnapshot(disk.node, { name: 'second', vmStateSize: 5000 }));
    const read = new Uint8Array(state.length);
    await startAsync(applySnapshot(disk.node, 'first'));
    await startAsync(readVmState(disk.node, 0, read));
    expect(equalBytes(read, state)).toBe(true);
    await startAsync(writeVmState(disk.node, 0, new Uint8Array(state.length)));
    await startAsync(createSnapshot(disk.node, { name: 'zero', vmStateSize: state.length }));
    await startAsync(applySnapshot(disk.node, 'second'));
    await startAsync(readVmState(disk.node, 0, read));
    expect(read.subarray(0, 5000).every((byte) => byte === 1) && read.subarray(5000).every((byte) => byte === 0)).toBe(
      true,
    );
    await startAsync(deleteSnapshot(disk.node, 'second'));
    await disk.resize(20 * MiB);
    const grown = new Uint8Array(MiB);
    for (let offset = 2 * MiB; offset < 20 * MiB; offset += MiB) {
      await disk.read(offset, grown);
      expect(grown.every((byte) => byte === 0)).toBe(true);
    }
    await graph.close(disk);
    await sound(storage, 'at the end');
    const reading = await openQcow2(new LastingStorage({ initial: storage.content }), { 'read-only': true });
    await startAsync(loadSnapshot(reading.disk.node, 'zero'));
    await startAsync(readVmState(reading.disk.node, 0, read));
    expect(read.every((byte) => byte === 0)).toBe(true);
    await startAsync(loadSnapshot(reading.disk.node, 'first'));
    await startAsync(readVmState(reading.disk.node, 0, read));
    expect(equalBytes(read, state)).toBe(true);
  });

  it('reaches behind 4 GiB', async () => {
    const storage = await storageWith({ size: MiB });
    const { graph, disk } = await openQcow2(storage);
    const far = 5 * 2 ** 30 + 3;
    await startAsync(writeVmState(disk.node, far, new Uint8Array(100).fill(4)));
    await startAsync(createSnapshot(disk.node, { name: 'far', vmStateSize: far + 100 }));
    await startAsync(applySnapshot(disk.node, 'far'));
    const read = new Uint8Array(100);
    await startAsync(readVmState(disk.node, far, read));
    expect(read.every((byte) => byte === 4)).toBe(true);
    await graph.close(disk);
    await sound(storage, 'with a large state');
    const { snapshots } = await imageOn(storage);
    expect(snapshots!.list()[0]!.vmStateSize).toBe(far + 100);
  });
});

import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Spindle } from '../../src/client/index.ts';
import { failsWith } from '../support/check.ts';

const MIB = 1024 * 1024;
const file = { driver: 'opfs', path: 'snapshots-test.qcow2' } as const;

let spindle: Spindle;
beforeAll(async () => {
  spindle = await connect();
  await spindle.create({ driver: 'qcow2', file, size: 4 * MIB }, { overwrite: true });
});
afterAll(async () => {
  await spindle.delete(file);
  await spindle.close();
});

test('a disk and the state of its machine are kept together, and come back together', async () => {
  await using disk = await spindle.open({ driver: 'qcow2', file });
  const state = new Uint8Array(5 * MIB + 3);
  state.fill(7, 4 * MIB - 10);
  await disk.write(0, new Uint8Array([1]));
  const made = await disk.snapshots.create({ name: 'first', state: state.buffer });
  expect(state.byteLength).toBe(0);
  expect(made).toMatchObject({ id: '1', name: 'first', vmStateSize: 5 * MIB + 3, diskSize: 4 * MIB });
  await disk.write(0, new Uint8Array([2]));
  await disk.resize(8 * MIB);
  await disk.snapshots.create({ name: 'second' });
  expect((await disk.snapshots.list()).map(({ name }) => name)).toEqual(['first', 'second']);

  const applied = await disk.snapshots.apply('first', { state: true });
  expect(disk.size).toBe(4 * MIB);
  expect(await disk.read(0, 1)).toEqual(new Uint8Array([1]));
  const back = new Uint8Array(applied.state!);
  expect([back.length, back[0], back[4 * MIB - 11], back[4 * MIB - 10], back.at(-1)]).toEqual([
    5 * MIB + 3,
    0,
    0,
    7,
    7,
  ]);
  expect((await disk.snapshots.apply('2')).state).toBeUndefined();
  expect(disk.size).toBe(8 * MIB);
  const info = await disk.info();
  expect(info.snapshots?.map((snapshot) => [snapshot.id, snapshot['vm-state-size']])).toEqual([
    ['1', 5 * MIB + 3],
    ['2', 0],
  ]);
  await disk.snapshots.delete('second');
  await failsWith('not-found', () => disk.snapshots.apply('second'), 'a snapshot that is gone');
  expect((await disk.check()).leaks).toBe(0);
});

test('a snapshot can be looked at in place of the disk', async () => {
  {
    await using disk = await spindle.open({ driver: 'qcow2', file });
    await disk.write(0, new Uint8Array([9]));
  }
  const options = { driver: 'qcow2', file, 'read-only': true } as const;
  await using then = await spindle.open(options, { snapshot: 'first' });
  expect([then.size, (await then.read(0, 1))[0]]).toEqual([4 * MIB, 1]);
  await failsWith('permission', () => then.snapshots.create({ name: 'no' }), 'a snapshot of what is read-only');
  await failsWith('not-found', () => spindle.open(options, { snapshot: 'none' }), 'no such snapshot');
});

test('a format without snapshots says so', async () => {
  await using disk = await spindle.open({ driver: 'raw', file: { driver: 'memory', size: MIB } });
  expect(await disk.snapshots.list()).toEqual([]);
  await failsWith('unsupported', () => disk.snapshots.create({ name: 'x' }), 'a snapshot of a raw disk');
  await failsWith('invalid', () => disk.snapshots.create({ name: 'x', state: new ArrayBuffer(0) }), 'an empty state');
});

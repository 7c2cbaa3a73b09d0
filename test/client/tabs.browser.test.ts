import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Spindle } from '../../src/client/index.ts';
import { failsWith } from '../support/check.ts';

// Two connections have two workers: to the browser's locks they are as far apart as two tabs.
const file = { driver: 'opfs', path: 'client-test-tabs.qcow2' } as const;
const options = { driver: 'qcow2', file } as const;

let first: Spindle;
let second: Spindle;
beforeAll(async () => {
  [first, second] = await Promise.all([connect(), connect()]);
  await first.create({ driver: 'qcow2', file, size: 1048576 }, { overwrite: true });
});
afterAll(async () => {
  await first.delete(file);
  await Promise.all([first.close(), second.close()]);
});

test('the second open for writing is told that the disk is in use', async () => {
  const disk = await first.open(options);
  const error = await failsWith('busy', () => second.open(options), 'the second writer');
  expect(error.describe()).toContain(file.path);
  await failsWith('busy', () => second.open({ ...options, 'read-only': true }), 'a reader beside a writer');
  await failsWith('busy', () => second.delete(file), 'deleting it');
  await failsWith('exists', () => second.create({ driver: 'qcow2', file, size: 512 }), 'making it again');
  await failsWith(
    'busy',
    () => second.create({ driver: 'qcow2', file, size: 512 }, { overwrite: true }),
    'writing over it',
  );
  await disk.write(0, new Uint8Array([5]));
  await disk.close();
  await using other = await second.open(options);
  expect(await other.read(0, 1)).toEqual(new Uint8Array([5]));
});

test('readers work side by side, and keep a writer out', async () => {
  await using mine = await first.open({ ...options, 'read-only': true });
  await using yours = await second.open({ ...options, 'read-only': true });
  const [one, two] = await Promise.all([mine.read(0, 512), yours.read(0, 512)]);
  expect(one).toEqual(two);
  await failsWith('busy', () => second.open(options), 'a writer beside readers');
});

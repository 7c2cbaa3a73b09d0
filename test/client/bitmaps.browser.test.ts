import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Disk, type Spindle } from '../../src/client/index.ts';
import { failsWith } from '../support/check.ts';

const MIB = 1024 * 1024;

let spindle: Spindle;
beforeAll(async () => {
  spindle = await connect();
});
afterAll(() => spindle.close());

async function openQcow2(name: string): Promise<Disk> {
  const file = { driver: 'memory', name } as const;
  await spindle.create({ driver: 'qcow2', size: MIB, file }, { overwrite: true });
  return spindle.open({ driver: 'qcow2', file });
}

test('bitmaps of a disk are added, record, merge, are stored with the image and removed', async () => {
  const disk = await openQcow2('bitmaps');
  await disk.bitmaps.add({ name: 'one', granularity: 4096 });
  await disk.bitmaps.add({ name: 'two', enabled: false, granularity: 512 });
  await disk.write(5000, new Uint8Array(10));
  await disk.bitmaps.merge('two', 'one');
  const facts = async (of: Disk) =>
    (await of.bitmaps.list()).map(({ name, count, recording }) => [name, count, recording]);
  expect(await facts(disk)).toEqual([
    ['one', 4096, true],
    ['two', 4096, false],
  ]);
  await disk.close();
  await using again = await spindle.open({ driver: 'qcow2', file: { driver: 'memory', name: 'bitmaps' } });
  await again.bitmaps.disable('one');
  await again.bitmaps.clear('two');
  await again.bitmaps.enable('two');
  expect(await facts(again)).toEqual([
    ['one', 4096, false],
    ['two', 0, true],
  ]);
  await again.bitmaps.remove('one');
  await failsWith('not-found', () => again.bitmaps.remove('one'), 'a bitmap that is gone');
  expect((await again.info())['format-specific']?.data['bitmaps']).toMatchObject([{ name: 'two' }]);
});

test('an image is amended', async () => {
  await using disk = await openQcow2('amended');
  const reports: number[] = [];
  await disk.amend({ refcount_bits: 64, size: '2M' }, { onProgress: (done) => reports.push(done) });
  expect(disk.size).toBe(2 * MIB);
  expect(reports.at(-1)).toBeGreaterThan(0);
  expect((await disk.info())['format-specific']?.data['refcount-bits']).toBe(64);
  await failsWith('invalid', () => disk.amend({ cluster_size: 512 }), 'what cannot be amended');
});

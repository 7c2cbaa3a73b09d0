import { afterEach, expect, expectTypeOf, test } from 'vitest';
import {
  connect,
  type BlockdevOptions,
  type BlockStatus,
  type CheckResult,
  type CreateOptions,
  type Disk,
  type ImageInfo,
  type ImageProbe,
  type NodeStatistics,
  type Spindle,
} from '../../src/client/index.ts';
import { sameBytes } from '../support/check.ts';

/** The documented use of the package, to the letter: that it compiles is the test. */
// oxfmt-ignore
async function documented(file: File, offset: number, length: number, size: number): Promise<void> {
  const spindle = await connect();                       // starts the dedicated worker
  await spindle.create({ driver: 'qcow2', file: { driver: 'opfs', path: 'disks/mine.qcow2' }, size: 10 * 2 ** 30,
                         backing_file: 'base', backing_fmt: 'raw' });
  const disk = await spindle.open({ driver: 'qcow2', 'node-name': 'mine', file: { driver: 'opfs', path: 'disks/mine.qcow2' },
                                    backing: { driver: 'raw', file: { driver: 'http', url: '/images/base.img' } } });
  // oxlint-disable-next-line no-unused-expressions
  disk.size;                                             // bytes
  const bytes = await disk.read(offset, length);         // Uint8Array, the caller's own
  await disk.write(offset, bytes); await disk.writeZeroes(offset, length); await disk.discard(offset, length); await disk.flush();
  await disk.info(); await disk.map(); await disk.check({ repair: 'leaks' }); await disk.resize(size); await disk.stats(); await disk.close();
  const found = await spindle.probe({ driver: 'blob', blob: file });      // format, score, why; opens nothing that the file names
  expectTypeOf(spindle).toEqualTypeOf<Spindle>();
  expectTypeOf(disk).toEqualTypeOf<Disk>();
  expectTypeOf(disk.size).toEqualTypeOf<number>();
  expectTypeOf(bytes).toEqualTypeOf<Uint8Array<ArrayBuffer>>();
  expectTypeOf(found).toEqualTypeOf<ImageProbe>();
}

test('the documented calls have the documented types', () => {
  expectTypeOf(documented).returns.toEqualTypeOf<Promise<void>>();
  expectTypeOf<Disk['info']>().returns.toEqualTypeOf<Promise<ImageInfo>>();
  expectTypeOf<Disk['map']>().returns.toEqualTypeOf<Promise<BlockStatus[]>>();
  expectTypeOf<Disk['check']>().returns.toEqualTypeOf<Promise<CheckResult>>();
  expectTypeOf<Disk['stats']>().returns.toEqualTypeOf<Promise<NodeStatistics>>();
  expectTypeOf<Disk>().toExtend<AsyncDisposable>();
  expectTypeOf<Spindle>().toExtend<AsyncDisposable>();
});

test('options are checked by the compiler, per driver', () => {
  const opfs = { driver: 'opfs', path: 'a.img' } as const;
  expectTypeOf({
    driver: 'qcow2',
    file: opfs,
    'lazy-refcounts': true,
    'l2-cache-size': '1M',
  } as const).toExtend<BlockdevOptions>();
  expectTypeOf({
    driver: 'raw',
    file: 'a-node',
    offset: '64k',
    'read-only': true,
  } as const).toExtend<BlockdevOptions>();
  expectTypeOf({ file: { driver: 'blob', blob: new Blob([]) } } as const).toExtend<BlockdevOptions>();
  expectTypeOf({
    driver: 'qcow2',
    file: opfs,
    size: '10G',
    cluster_size: '64k',
    compat: '1.1',
  } as const).toExtend<CreateOptions>();
  expectTypeOf({ driver: 'opfs', path: 'a.img', size: 5 } as const).toExtend<CreateOptions>();
  expectTypeOf({ driver: 'raw', file: opfs } as const).not.toExtend<CreateOptions>();
  expectTypeOf({ driver: 'opfs' } as const).not.toExtend<BlockdevOptions>();
  expectTypeOf({ driver: 'nonsense', file: opfs } as const).not.toExtend<BlockdevOptions>();
  expectTypeOf({ driver: 'qcow2', file: opfs, size: 5, compat: '0.9' } as const).not.toExtend<CreateOptions>();
});

const path = 'client-test/sample.qcow2';
let spindle: Spindle | undefined;
afterEach(async () => {
  await spindle?.delete({ driver: 'opfs', path });
  await spindle?.close();
});

test('the documented calls work: an overlay in OPFS over a base on a web server', async () => {
  const url = '/package-lock.json';
  const base = new Uint8Array(await (await fetch(url)).arrayBuffer());
  spindle = await connect();
  const file = { driver: 'opfs', path } as const;
  const size = 2 ** 30;
  await spindle.create({ driver: 'qcow2', file, size, backing_file: 'base', backing_fmt: 'raw' }, { overwrite: true });
  const options = {
    driver: 'qcow2',
    'node-name': 'mine',
    file,
    backing: { driver: 'raw', file: { driver: 'http', url } },
  } as const;
  const disk = await spindle.open(options);
  expect([disk.size, disk.nodeName, disk.format, disk.readOnly]).toEqual([size, 'mine', 'qcow2', false]);
  sameBytes(await disk.read(1000, 5000), base.slice(1000, 6000), 'the base through the overlay');
  await disk.write(2000, new Uint8Array(100).fill(1));
  await disk.writeZeroes(65536, 1000);
  await disk.discard(2 ** 20, 65536);
  await disk.flush();
  const info = await disk.info();
  expect(info).toMatchObject({ format: 'qcow2', 'virtual-size': size, 'backing-filename': 'base' });
  expect(info['backing-image']?.filename).toContain(url);
  const extents = await disk.map();
  expect(extents.reduce((sum, { length }) => sum + length, 0)).toBe(size);
  expect(extents[0]).toMatchObject({ offset: 0, depth: 0, data: true });
  expect(await disk.check({ repair: 'leaks' })).toMatchObject({ corruptions: 0, leaks: 0 });
  await disk.resize(2 * size);
  expect((await disk.stats()).stats.wr_bytes).toBe(100);
  await disk.close();

  await using again = await spindle.open(options);
  expect(again.size).toBe(2 * size);
  const expected = base.slice(0, 70000);
  expected.fill(1, 2000, 2100);
  expected.fill(0, 65536, 66536);
  sameBytes(await again.read(0, 70000), expected, 'what was written, over the base');
});

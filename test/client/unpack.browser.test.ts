import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Spindle } from '../../src/client/index.ts';
import { failsWith } from '../support/check.ts';

let spindle: Spindle;
beforeAll(async () => {
  spindle = await connect();
});
afterAll(() => spindle.close());

const SIZE = 3 * 2 ** 20;
const content = new Uint8Array(SIZE).map((_, index) => (index < 2 ** 20 ? index % 251 : 0));

async function gzipped(): Promise<File> {
  const packed = new Blob([content]).stream().pipeThrough(new CompressionStream('gzip'));
  return new File([await new Response(packed).blob()], 'disk.img.gz');
}

test('a packed image becomes a file of the browser, and is opened', async () => {
  const file = { driver: 'blob', blob: await gzipped() } as const;
  const target = { driver: 'opfs', path: 'unpack-test/disk.img' } as const;
  expect(await spindle.probeArchive(file)).toMatchObject({ kind: 'gzip', name: 'disk.img' });
  const reports: number[] = [];
  const onProgress = (done: number, total: number) => void reports.push(done / total);
  expect(await spindle.unpack(file, target, { limit: SIZE, overwrite: true, onProgress })).toBe(SIZE);
  expect(reports.at(-1)).toBe(1);
  await using disk = await spindle.open({ driver: 'raw', 'read-only': true, file: target });
  const found = await disk.read(0, SIZE);
  expect(found.every((byte, index) => byte === content[index])).toBe(true);
  await disk.close();
  await failsWith('exists', () => spindle.unpack(file, target, { limit: SIZE }), 'a second time');
  await spindle.delete(target);
  await failsWith('invalid', () => spindle.unpack(file, target, { limit: SIZE - 1 }), 'a limit');
  expect((await spindle.files.list('unpack-test')).length).toBe(0);
});

test('files that were dropped are a disk with a FAT volume', async () => {
  const files = [{ path: 'folder/hello.txt', blob: new Blob(['hello']) }];
  await using disk = await spindle.open({ driver: 'raw', 'read-only': true, file: { driver: 'vvfat', files } });
  const sector = await disk.read(63 * 512, 512);
  expect(new TextDecoder().decode(sector.subarray(54, 62))).toBe('FAT16   ');
});

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Disk, type Spindle } from '../../src/client/index.ts';
import { failsWith } from '../support/check.ts';

const MIB = 1024 * 1024;

let spindle: Spindle;
beforeAll(async () => {
  spindle = await connect();
});
afterAll(() => spindle.close());

const openMemory = (size = MIB): Promise<Disk> =>
  spindle.open({ driver: 'raw', 'node-name': 'mine', file: { driver: 'memory', size } });

describe('a disk', () => {
  test('says what it is', async () => {
    await using disk = await openMemory();
    expect([disk.size, disk.readOnly, disk.nodeName, disk.format]).toEqual([MIB, false, 'mine', 'raw']);
  });

  test('reads back what was written, at any alignment', async () => {
    await using disk = await openMemory();
    await disk.write(4000, new Uint8Array([1, 2, 3]));
    expect(await disk.read(3999, 5)).toEqual(new Uint8Array([0, 1, 2, 3, 0]));
    expect(await disk.read(MIB, 0)).toEqual(new Uint8Array(0));
    await disk.flush();
  });

  test('gives zeroes where zeroes were written, and takes discards', async () => {
    await using disk = await openMemory();
    await disk.write(0, new Uint8Array(MIB).fill(5));
    await disk.writeZeroes(65536, 65536);
    await disk.discard(262144, 65536);
    expect(await disk.read(65535, 2)).toEqual(new Uint8Array([5, 0]));
    expect(await disk.read(131071, 2)).toEqual(new Uint8Array([0, 5]));
    const extents = await disk.map();
    const places = extents.map(({ offset, length, zero }) => [offset, length, zero]);
    expect(places).toEqual([
      [0, 65536, false],
      [65536, 65536, true],
      [131072, 131072, false],
      [262144, 65536, true],
      [327680, MIB - 327680, false],
    ]);
    expect((await disk.map({ offset: 65536, length: 512 })).map(({ offset, length }) => [offset, length])).toEqual([
      [65536, 512],
    ]);
  });

  test('does a request that is longer than a piece', async () => {
    await using disk = await openMemory(64 * MIB);
    const data = new Uint8Array(20 * MIB + 5).map((_, index) => index % 251);
    await disk.write(3 * MIB + 1, data);
    const back = await disk.read(3 * MIB + 1, data.length);
    expect(back.every((byte, index) => byte === index % 251)).toBe(true);
    await disk.writeZeroes(4 * MIB, 18 * MIB);
    const zeroed = await disk.read(3 * MIB + 1, data.length);
    const first = MIB - 1;
    expect(zeroed.every((byte, index) => byte === (index < first || index >= first + 18 * MIB ? index % 251 : 0))).toBe(
      true,
    );
  });

  test('answers other requests while a long one is being done', async () => {
    await using long = await openMemory(512 * MIB);
    await using other = await spindle.open({ driver: 'raw', file: { driver: 'memory', size: MIB } });
    const order: string[] = [];
    await Promise.all([
      long.write(0, new Uint8Array(256 * MIB), { transfer: true }).then(() => order.push('long')),
      other.read(0, 512).then(() => order.push('short')),
    ]);
    expect(order).toEqual(['short', 'long']);
  });

  test('describes itself, and counts', async () => {
    await using disk = await openMemory();
    await disk.write(0, new Uint8Array(1000));
    await disk.read(0, 300);
    const info = await disk.info();
    expect(info).toMatchObject({ format: 'raw', 'virtual-size': MIB, 'node-name': 'mine', 'read-only': false });
    const { stats, children } = await disk.stats();
    expect([stats.wr_bytes, stats.wr_operations, stats.rd_bytes, stats.wr_highest_offset]).toEqual([
      1000, 1, 300, 1000,
    ]);
    expect(children['file']?.driver).toBe('memory');
    expect(children['file']?.stats.wr_bytes).toBe(1000);
  });

  test('grows, and shrinks when it is meant', async () => {
    await using disk = await openMemory();
    await disk.resize(2 * MIB);
    expect(disk.size).toBe(2 * MIB);
    await disk.write(2 * MIB - 1, new Uint8Array([9]));
    await failsWith('invalid', () => disk.resize(MIB), 'shrinking unasked');
    expect(disk.size).toBe(2 * MIB);
    await disk.resize(MIB, { shrink: true });
    expect(disk.size).toBe(MIB);
    await failsWith('invalid', () => disk.read(MIB, 1), 'a read past the new end');
    await failsWith('invalid', () => disk.resize(1.5), 'half a byte');
  });

  test('is exported as one file, and stands still meanwhile', async () => {
    await using disk = await openMemory(3 * MIB);
    await disk.write(MIB, new Uint8Array(MIB).fill(3));
    const seen: (readonly [number, number])[] = [];
    const stream = await disk.export({ format: 'raw', onProgress: (done, total) => seen.push([done, total]) });
    const writing = disk.write(MIB, new Uint8Array(MIB).fill(4));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    await writing;
    expect(bytes.length).toBe(3 * MIB);
    expect([bytes[MIB - 1], bytes[MIB], bytes[2 * MIB - 1], bytes[2 * MIB]]).toEqual([0, 3, 3, 0]);
    expect(seen.at(-1)).toEqual([3 * MIB, 3 * MIB]);
    expect(await disk.read(MIB, 1)).toEqual(new Uint8Array([4]));
  });

  test('goes on when an export is cancelled or aborted', async () => {
    await using disk = await openMemory(8 * MIB);
    const reader = (await disk.export({ format: 'raw' })).getReader();
    await reader.read();
    await reader.cancel();
    await disk.write(0, new Uint8Array(1));
    const controller = new AbortController();
    const aborted = (await disk.export({ format: 'raw', signal: controller.signal })).getReader();
    await aborted.read();
    controller.abort('enough');
    const error = await failsWith('aborted', () => drained(aborted), 'the aborted stream');
    expect(error.cause).toBe('enough');
    await disk.write(0, new Uint8Array(1));
  });

  test('closes once, with what is in flight done, and says afterwards that it is closed', async () => {
    const disk = await openMemory();
    const late = disk.write(0, new Uint8Array([7]));
    const [first, second] = [disk.close(), disk.close()];
    expect(first).toBe(second);
    await Promise.all([late, first]);
    await failsWith('closed', () => disk.read(0, 1), 'a read');
    await failsWith('closed', () => disk.flush(), 'a flush');
    await failsWith('closed', () => disk.info(), 'info');
    await using again = await openMemory();
    expect(again.nodeName).toBe('mine');
  });

  test('closes while it is being exported', async () => {
    const disk = await openMemory(8 * MIB);
    const reader = (await disk.export({ format: 'raw' })).getReader();
    await reader.read();
    await disk.close();
    await (await openMemory()).close();
  });
});

async function drained(reader: ReadableStreamDefaultReader<unknown>): Promise<void> {
  while (!(await reader.read()).done);
}

describe('files', () => {
  const path = 'client-test/folder/a.img';

  test('are made, found, renamed, read and deleted', async () => {
    const file = { driver: 'opfs', path } as const;
    await spindle.create({ driver: 'raw', file, size: '64k' }, { overwrite: true });
    await failsWith('exists', () => spindle.create({ driver: 'raw', file, size: 512 }), 'making it again');
    const listed = await spindle.files.list('client-test');
    expect(listed.map((entry) => [entry.path, entry.size])).toEqual([[path, 65536]]);
    const probe = await spindle.probe(file);
    expect(probe).toMatchObject({ format: 'raw', size: 65536 });
    expect((await spindle.files.read(path)).size).toBe(65536);
    await spindle.delete(file);
    await failsWith('not-found', () => spindle.files.delete(path), 'deleting it again');
    expect(await spindle.files.list('client-test')).toEqual([]);
    expect((await spindle.files.estimate()).quota).toBeGreaterThan(0);
    expect(typeof (await spindle.files.persisted())).toBe('boolean');
  });

  test('are probed from a Blob that the page made', async () => {
    const blob = new Blob([new Uint8Array(1024)]);
    expect(await spindle.probe({ driver: 'blob', blob })).toMatchObject({ format: 'raw', size: 1024 });
    await using disk = await spindle.open({ driver: 'raw', 'read-only': true, file: { driver: 'blob', blob } });
    expect(disk.readOnly).toBe(true);
    expect(await disk.read(0, 4)).toEqual(new Uint8Array(4));
  });
});

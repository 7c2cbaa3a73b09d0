import { describe, expect, test } from 'vitest';
import { AsyncStore } from '../../../src/emulator/v86/async-store.ts';
import { LINE_BYTES } from '../../../src/emulator/v86/read-cache.ts';
import { FakeDisk, held, patterned, settled } from '../../support/fake-disk.ts';
import { runStoreModel } from '../../support/store-model.ts';

const MIB = 1024 * 1024;

function storeOver(disk: FakeDisk, options: { cacheSize?: number; readAhead?: number } = {}): AsyncStore {
  return new AsyncStore(disk, { cacheSize: MIB, readAhead: 0, ...options });
}

async function read(store: AsyncStore, offset: number, length: number): Promise<Uint8Array> {
  return (await store.read(offset, length)).slice();
}

describe('cache', () => {
  test('a second read is answered at once, without the disk', async () => {
    const disk = new FakeDisk(MIB);
    const store = storeOver(disk);
    await read(store, 1000, 3000);
    expect(disk.log).toEqual([['read', 0, LINE_BYTES]]);
    const again = store.read(1000, 3000);
    expect(again).toBeInstanceOf(Uint8Array);
    expect(again).toEqual(disk.bytes.subarray(1000, 4000));
    expect(disk.log).toHaveLength(1);
    expect(store.cacheHits).toBe(1);
  });

  test('a read over cached and missing lines asks once for each run that is missing', async () => {
    const disk = new FakeDisk(MIB);
    const store = storeOver(disk);
    await read(store, LINE_BYTES * 2, 512);
    disk.log.length = 0;
    const found = await read(store, 100, LINE_BYTES * 5);
    expect(found).toEqual(disk.bytes.subarray(100, 100 + LINE_BYTES * 5));
    expect(disk.log).toEqual([
      ['read', 0, LINE_BYTES * 2],
      ['read', LINE_BYTES * 3, LINE_BYTES * 3],
    ]);
  });

  test('reads of the same bytes that are on their way share one message', async () => {
    const disk = new FakeDisk(MIB);
    const hold = held();
    disk.onRead = () => hold.promise;
    const store = storeOver(disk);
    const both = Promise.all([store.read(0, 512), store.read(1024, 512)]);
    hold.release();
    expect(await both).toEqual([disk.bytes.subarray(0, 512), disk.bytes.subarray(1024, 1536)]);
    expect(disk.log).toHaveLength(1);
  });

  test('is bounded in bytes and forgets what was not used for longest', async () => {
    const disk = new FakeDisk(4 * MIB);
    const store = storeOver(disk, { cacheSize: LINE_BYTES * 4 });
    for (const line of [0, 1, 2, 3]) await read(store, line * LINE_BYTES, 512);
    await read(store, 0, 512);
    await read(store, 4 * LINE_BYTES, 512);
    disk.log.length = 0;
    await read(store, 0, 512);
    expect(disk.log).toEqual([]);
    await read(store, LINE_BYTES, 512);
    expect(disk.log).toEqual([['read', LINE_BYTES, LINE_BYTES]]);
  });

  test('a long read passes by', async () => {
    const disk = new FakeDisk(4 * MIB);
    const store = storeOver(disk);
    await read(store, 0, 512);
    await read(store, MIB, MIB / 2);
    disk.log.length = 0;
    await read(store, 0, 512);
    expect(disk.log).toEqual([]);
    await read(store, MIB, 512);
    expect(disk.log).toHaveLength(1);
  });

  test('cacheSize 0: every read is exactly one message', async () => {
    const disk = new FakeDisk(MIB);
    const store = storeOver(disk, { cacheSize: 0, readAhead: MIB });
    await read(store, 512, 512);
    await read(store, 1024, 512);
    await read(store, 512, 512);
    expect(disk.log).toEqual([
      ['read', 512, 512],
      ['read', 1024, 512],
      ['read', 512, 512],
    ]);
  });

  test('the end of a disk that is no whole line', async () => {
    const disk = new FakeDisk(LINE_BYTES + 1536);
    const store = storeOver(disk);
    expect(await read(store, LINE_BYTES + 1024, 512)).toEqual(disk.bytes.subarray(LINE_BYTES + 1024));
    expect(disk.log).toEqual([['read', LINE_BYTES, 1536]]);
  });
});

describe('read-ahead', () => {
  test('a guest that reads in sequence waits for few messages', async () => {
    const disk = new FakeDisk(2 * MIB);
    const store = storeOver(disk, { readAhead: 256 * 1024 });
    let waited = 0;
    for (let offset = 0; offset < 2 * MIB; offset += 4096) {
      const found = store.read(offset, 4096);
      if (found instanceof Promise) waited += 1;
      expect((await found).slice()).toEqual(disk.bytes.subarray(offset, offset + 4096));
      await settled();
    }
    expect(waited).toBeLessThanOrEqual(2);
    expect(disk.log.length).toBeLessThanOrEqual(20);
    expect(store.readAheads).toBeGreaterThan(5);
  });

  test('random reads cause none', async () => {
    const disk = new FakeDisk(4 * MIB);
    const store = storeOver(disk, { readAhead: 256 * 1024 });
    for (let index = 0; index < 50; index += 1) await read(store, ((index * 37) % 100) * LINE_BYTES, 512);
    expect(store.readAheads).toBe(0);
  });

  test('a failure is not reported until the guest asks for those bytes', async () => {
    const disk = new FakeDisk(MIB);
    disk.onRead = (offset, length) => (offset + length > LINE_BYTES * 2 ? Promise.reject(new Error('bad')) : undefined);
    const store = storeOver(disk, { readAhead: 256 * 1024 });
    for (let offset = 0; offset < LINE_BYTES * 2; offset += 8192) await read(store, offset, 8192);
    await settled();
    expect(store.readAheads).toBeGreaterThan(0);
    await expect(store.read(LINE_BYTES * 2, 8192)).rejects.toThrow('bad');
  });
});

describe('errors', () => {
  test('a bad sector beside the ones that were asked for does not fail the read', async () => {
    const disk = new FakeDisk(MIB);
    const bad = LINE_BYTES - 512;
    disk.onRead = (offset, length) =>
      offset <= bad && bad < offset + length ? Promise.reject(new Error('bad')) : undefined;
    const store = storeOver(disk);
    expect(await read(store, 0, 4096)).toEqual(disk.bytes.subarray(0, 4096));
    await expect(store.read(bad, 512)).rejects.toThrow('bad');
  });

  test('a disk that answers with too few bytes is an error, never zeroes', async () => {
    const disk = new FakeDisk(MIB);
    disk.read = () => Promise.resolve(new Uint8Array(10));
    await expect(storeOver(disk).read(0, 512)).rejects.toMatchObject({ kind: 'io' });
  });

  test('a disk that throws instead of rejecting', async () => {
    const disk = new FakeDisk(MIB);
    disk.read = () => {
      throw new Error('thrown');
    };
    disk.write = disk.read as never;
    const store = storeOver(disk);
    await expect(store.read(0, 512)).rejects.toThrow('thrown');
    await expect(store.write(0, new Uint8Array(512))).rejects.toThrow('thrown');
  });

  test('after a failed write the bytes of the disk are read', async () => {
    const disk = new FakeDisk(MIB);
    const store = storeOver(disk);
    await read(store, 0, 512);
    disk.onWrite = () => Promise.reject(new Error('full'));
    await expect(store.write(0, new Uint8Array(512).fill(7))).rejects.toThrow('full');
    expect(await read(store, 0, 512)).toEqual(patterned(512));
  });
});

describe('flush', () => {
  test('waits for every write before it', async () => {
    const disk = new FakeDisk(MIB);
    const hold = held();
    disk.onWrite = () => hold.promise;
    const store = storeOver(disk);
    const write = store.write(0, new Uint8Array(512));
    const flush = store.flush();
    await settled();
    expect(disk.logged('flush')).toEqual([]);
    hold.release();
    await Promise.all([write, flush]);
    expect(disk.log.map((entry) => entry[0])).toEqual(['write', 'write done', 'flush', 'flush done']);
  });
});

describe('model', () => {
  const firstSeed = Number(process.env['SPINDLE_SEED'] ?? 1);
  const seeds = Array.from({ length: 20 }, (_, index) => firstSeed + index);
  test.each(seeds)('the store against a flat array, seed %i', async (seed) => {
    await runStoreModel(seed);
  });
});

import { get, createStore, getMany, set, del } from 'idb-keyval';
import { afterAll, describe, expect, test } from 'vitest';
import type { Storage } from '../../../src/block/driver.ts';
import { parseOptions } from '../../../src/block/options.ts';
import { indexedDbProtocol } from '../../../src/block/protocol/indexeddb/index.ts';
import { registerWritableSuite } from '../../conformance/storage-suite.ts';
import { readBytes } from '../../conformance/storage-fixture.ts';
import { sameBytes } from '../../support/check.ts';
import { patternedBytes } from '../../support/random.ts';

const CHUNK = 16384;
const database = `test-${crypto.randomUUID()}`;
let disks = 0;

const optionsOf = (given: Record<string, unknown>) =>
  parseOptions(indexedDbProtocol.options, { database, chunk_size: CHUNK, ...given }, 'indexeddb');
const open = (given: Record<string, unknown>, readOnly = false) =>
  indexedDbProtocol.open(optionsOf(given), { readOnly });

/** Makes a disk and opens it. */
async function fresh(size: number, given: Record<string, unknown> = {}): Promise<{ name: string; storage: Storage }> {
  const name = `disk-${disks++}`;
  await indexedDbProtocol.create!(optionsOf({ name, ...given }), size);
  return { name, storage: await open({ name, ...given }) };
}

/** The database as another program sees it. */
const outside = createStore(database, 'disks');
const chunkKey = (name: string, index: number) => ['chunk', name, index];

afterAll(() => {
  indexedDB.deleteDatabase(database);
});

describe('indexeddb', () => {
  registerWritableSuite(
    {
      driver: indexedDbProtocol,
      synchronous: false,
      chunkBytes: CHUNK,
      farOffset: 2 ** 41 + 512,
      // Small bounds, so that early commits and forgotten chunks are part of every case.
      fresh: (label) => ({
        database,
        name: `${label}-${disks++}`,
        chunk_size: CHUNK,
        cache_size: CHUNK * 3,
        dirty_size: CHUNK * 4,
      }),
    },
    test,
  );

  test('nothing is stored before a flush, and a flush stores all of it', async () => {
    const { name, storage } = await fresh(CHUNK * 4);
    await storage.write(0, new Uint8Array(CHUNK * 3).fill(1));
    await storage.discard!(0, CHUNK);
    expect(await get(chunkKey(name, 1), outside)).toBeUndefined();
    await storage.flush();
    const [first, second, third] = await getMany<Uint8Array>(
      [0, 1, 2].map((index) => chunkKey(name, index)),
      outside,
    );
    expect([first, second?.length, third?.length]).toEqual([undefined, CHUNK, CHUNK]);
    await storage.close();
  });

  test('closing without a flush leaves the disk as the last flush left it', async () => {
    const { name, storage } = await fresh(CHUNK);
    await storage.write(0, new Uint8Array(100).fill(1));
    await storage.flush();
    await storage.write(50, new Uint8Array(CHUNK * 2).fill(2));
    await storage.close();
    const again = await open({ name });
    expect(await again.getLength()).toBe(CHUNK);
    const expected = new Uint8Array(CHUNK).fill(1, 0, 100);
    sameBytes(await readBytes(again, 0, CHUNK), expected, 'content');
    await again.close();
  });

  test('too many changes are committed early, in one transaction', async () => {
    const { name, storage } = await fresh(0, { dirty_size: CHUNK * 4 });
    for (let index = 0; index < 6; index++) await storage.write(index * CHUNK, patternedBytes(1, index * CHUNK, CHUNK));
    const stored = await getMany<Uint8Array>(
      [0, 1, 2, 3, 4, 5].map((index) => chunkKey(name, index)),
      outside,
    );
    expect(stored.map((chunk) => chunk?.length)).toEqual([CHUNK, CHUNK, CHUNK, CHUNK, undefined, undefined]);
    await storage.close();
    const again = await open({ name });
    expect(await again.getLength()).toBe(CHUNK * 4);
    await again.close();
  });

  test('holes take no room, and zeroed chunks are deleted', async () => {
    const { name, storage } = await fresh(2 ** 40);
    await storage.write(2 ** 39, new Uint8Array(CHUNK * 3).fill(1));
    await storage.flush();
    expect(await storage.allocatedSize!()).toBe(CHUNK * 3);
    await storage.writeZeroes!(2 ** 39 + 10, CHUNK * 2, true);
    await storage.flush();
    expect(await storage.allocatedSize!()).toBe(CHUNK * 2);
    expect(await get(chunkKey(name, 2 ** 39 / CHUNK + 1), outside)).toBeUndefined();
    await storage.truncate(2 ** 39);
    await storage.flush();
    expect(await storage.allocatedSize!()).toBe(0);
    await storage.close();
  });

  test('writes go on while a flush lasts, and the next flush stores them', async () => {
    const { name, storage } = await fresh(CHUNK * 2);
    await storage.write(0, new Uint8Array(CHUNK * 2).fill(1));
    const flush = storage.flush();
    await storage.write(10, new Uint8Array(10).fill(2));
    await storage.discard!(CHUNK, CHUNK);
    await flush;
    const expected = new Uint8Array(CHUNK * 2).fill(1, 0, CHUNK).fill(2, 10, 20);
    sameBytes(await readBytes(storage, 0, CHUNK * 2), expected, 'after the first flush');
    sameBytes(
      (await get<Uint8Array>(chunkKey(name, 0), outside))!,
      new Uint8Array(CHUNK).fill(1),
      'stored by the first',
    );
    await Promise.all([storage.flush(), storage.flush()]);
    await storage.close();
    const again = await open({ name }, true);
    sameBytes(await readBytes(again, 0, CHUNK * 2), expected, 'after opening again');
    await again.close();
  });

  test('what the database holds is not trusted', async () => {
    const record = { version: 1, length: CHUNK * 2, chunkBytes: CHUNK, modifiedMs: 1 };
    for (const bad of [
      'text',
      null,
      { ...record, version: 2 },
      { ...record, length: -1 },
      { ...record, length: 2 ** 60 },
      { ...record, chunkBytes: 0 },
      { ...record, chunkBytes: 5000 },
      { ...record, chunkBytes: 2 ** 40 },
      { ...record, modifiedMs: 'now' },
    ]) {
      await set(['disk', 'hostile'], bad, outside);
      await expect(open({ name: 'hostile' })).rejects.toMatchObject({ kind: 'corrupt' });
    }
    await set(['disk', 'hostile'], record, outside);
    for (const index of [2, -1, 0.5, 'x']) {
      await set(['chunk', 'hostile', index], new Uint8Array(CHUNK), outside);
      await expect(open({ name: 'hostile' })).rejects.toMatchObject({ kind: 'corrupt' });
      await del(['chunk', 'hostile', index], outside);
    }
    for (const chunk of ['text', new Uint8Array(CHUNK - 1), new Uint8Array(CHUNK).buffer]) {
      await set(['chunk', 'hostile', 1], chunk, outside);
      const storage = await open({ name: 'hostile' });
      await expect(readBytes(storage, CHUNK, 1)).rejects.toMatchObject({ kind: 'corrupt' });
      await expect(Promise.resolve(storage.write(CHUNK, new Uint8Array(1)))).rejects.toMatchObject({ kind: 'corrupt' });
      await storage.close();
    }
    await set(['disk', 'hostile'], 'text', outside);
    await indexedDbProtocol.delete!(optionsOf({ name: 'hostile' }));
    await expect(open({ name: 'hostile' })).rejects.toMatchObject({ kind: 'not-found' });
  });

  test('a database of something else is left alone', async () => {
    const foreign = `${database}-foreign`;
    await set('key', 'value', createStore(foreign, 'things'));
    await expect(open({ database: foreign, name: 'x' })).rejects.toMatchObject({ kind: 'invalid' });
    indexedDB.deleteDatabase(foreign);
  });

  test('sequential reads are batched, and cached ones do not wait', async () => {
    const size = CHUNK * 64;
    const { name, storage } = await fresh(0);
    await storage.write(0, patternedBytes(3, 0, size));
    await storage.flush();
    await storage.close();
    const again = await open({ name, cache_size: CHUNK * 80 }, true);
    let waits = 0;
    for (let offset = 0; offset < size; offset += 4096) {
      const buffer = new Uint8Array(4096);
      const result = again.read(offset, buffer);
      if (result !== undefined) waits++;
      await result;
      sameBytes(buffer, patternedBytes(3, offset, 4096), `at ${offset}`);
    }
    expect(waits).toBeLessThan(20);
    await again.close();
  });

  test('names', () => {
    expect(indexedDbProtocol.parseFilename!('indexeddb:a/b')).toEqual({ driver: 'indexeddb', name: 'a/b' });
    expect(indexedDbProtocol.resolve!(optionsOf({ name: 'a/b' }), 'c')).toEqual({
      driver: 'indexeddb',
      name: 'a/c',
      database,
    });
  });

  test('chunk sizes that make no sense are refused', async () => {
    for (const chunk_size of [0, 1000, 5000, 2 ** 30]) {
      await expect(indexedDbProtocol.create!(optionsOf({ name: 'x', chunk_size }), 1)).rejects.toMatchObject({
        kind: 'invalid',
      });
    }
  });
});

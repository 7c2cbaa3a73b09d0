import { describe, expect, test } from 'vitest';
import { parseOptions } from '../../../src/block/options.ts';
import { createMemoryProtocol, MemoryStore } from '../../../src/block/protocol/memory/index.ts';
import { registerWritableSuite } from '../../conformance/storage-suite.ts';

const driver = createMemoryProtocol();
let files = 0;
const open = (given: Record<string, unknown>, readOnly = false) =>
  driver.open(parseOptions(driver.options, given, 'memory'), { readOnly });

describe('memory', () => {
  registerWritableSuite(
    {
      driver,
      synchronous: true,
      chunkBytes: 65536,
      farOffset: 2 ** 41 + 512,
      fresh: (label) => ({ name: `${label}-${files++}` }),
    },
    test,
  );

  test('holes cost no memory, and zeroed chunks are given back', async () => {
    const storage = await open({ size: 2 ** 40 });
    expect(storage.allocatedSize!()).toBe(0);
    await storage.write(2 ** 39, new Uint8Array(65536 * 3).fill(1));
    expect(storage.allocatedSize!()).toBe(65536 * 3);
    await storage.writeZeroes!(2 ** 39 - 100, 65536 * 2 + 200, true);
    expect(storage.allocatedSize!()).toBe(65536);
    await storage.truncate(2 ** 39);
    expect(storage.allocatedSize!()).toBe(0);
  });

  test('block status walks a huge hole in few steps', async () => {
    const storage = await open({ size: 2 ** 34 });
    await storage.write(2 ** 33, new Uint8Array(1).fill(1));
    let steps = 0;
    for (let offset = 0; offset < 2 ** 34; steps++) {
      offset += (await storage.blockStatus!(offset, 2 ** 34 - offset)).length;
    }
    expect(steps).toBeLessThan(30);
  });

  test('a size makes a named file once; a store of the caller keeps its own names', async () => {
    const store = new MemoryStore();
    const first = await open({ name: 'made', size: 100, store });
    await first.write(0, new Uint8Array([1]));
    await first.close();
    const again = await open({ name: 'made', size: 999, store });
    expect(again.getLength()).toBe(100);
    expect(store.names()).toEqual(['made']);
    await expect(open({ name: 'made' })).rejects.toMatchObject({ kind: 'not-found' });
    await expect(open({ name: 'made', store: {} })).rejects.toMatchObject({ kind: 'invalid' });
  });

  test('names', () => {
    expect(driver.parseFilename!('memory:a/b')).toEqual({ driver: 'memory', name: 'a/b' });
    expect(driver.parseFilename!('/memory')).toBeUndefined();
    expect(driver.filename({ name: 'a/b' })).toBe('memory:a/b');
    expect(driver.resolve!({ name: 'a/b' }, 'c')).toEqual({ driver: 'memory', name: 'a/c' });
    expect(driver.resolve!({ name: 'a/b' }, '../../../c')).toEqual({ driver: 'memory', name: 'c' });
  });
});

import { describe, expect, test } from 'vitest';
import { parseOptions } from '../../../src/block/options.ts';
import { nullCoProtocol, UNREAD_BYTE } from '../../../src/block/protocol/null-co/index.ts';
import { registerReadCases } from '../../conformance/storage-reads.ts';
import { FileUnderTest, type StorageFixture } from '../../conformance/storage-fixture.ts';

const open = (given: Record<string, unknown>, readOnly = false) =>
  nullCoProtocol.open(parseOptions(nullCoProtocol.options, given, 'null-co'), { readOnly });

describe('null-co', () => {
  test('reads give zeroes or a pattern, never what was in the buffer', async () => {
    const buffer = new Uint8Array(20).fill(1);
    await (await open({ size: 10 })).read(0, buffer);
    expect(buffer).toEqual(new Uint8Array(20).fill(UNREAD_BYTE, 0, 10));
    await (await open({ size: 10, 'read-zeroes': 'on' })).read(0, buffer);
    expect(buffer).toEqual(new Uint8Array(20));
  });

  test('writes are forgotten, but grow it', async () => {
    const storage = await open({ size: '1k', 'read-zeroes': true });
    expect(storage.synchronous).toBe(true);
    await storage.write(2000, new Uint8Array(10).fill(5));
    expect(await storage.getLength()).toBe(2010);
    const buffer = new Uint8Array(10).fill(1);
    await storage.read(2000, buffer);
    expect(buffer).toEqual(new Uint8Array(10));
    expect(await storage.blockStatus!(0, 5000)).toEqual({ length: 2010, zero: true });
    expect(await (await open({})).getLength()).toBe(2 ** 30);
  });

  test('read-only and closed', async () => {
    const storage = await open({ size: 10 }, true);
    expect(() => storage.write(0, new Uint8Array(1))).toThrow(expect.objectContaining({ kind: 'permission' }));
    await storage.close();
    expect(() => storage.read(0, new Uint8Array(1))).toThrow(expect.objectContaining({ kind: 'closed' }));
  });

  test('latency makes it wait', async () => {
    const storage = await open({ size: 10, 'latency-ns': 20_000_000 });
    expect(storage.synchronous).toBe(false);
    const start = performance.now();
    await storage.read(0, new Uint8Array(1));
    expect(performance.now() - start).toBeGreaterThan(15);
  });

  test('names', () => {
    expect(nullCoProtocol.parseFilename!('null-co://')).toEqual({ driver: 'null-co' });
    expect(nullCoProtocol.parseFilename!('null')).toBeUndefined();
  });
});

describe('null-co as zeroes of any size', () => {
  const fixture: StorageFixture = { driver: nullCoProtocol, synchronous: true, chunkBytes: 4096 };
  // The suite's own bytes are replaced by zeroes, which is what this driver can give.
  registerReadCases(fixture, test, async (bytes) => {
    bytes.fill(0);
    return new FileUnderTest(fixture, { size: bytes.length, 'read-zeroes': true });
  });
});

import { describe, expect, test } from 'vitest';
import { parseOptions } from '../../../src/block/options.ts';
import { blobProtocol } from '../../../src/block/protocol/blob/index.ts';
import { registerReadOnlySuite } from '../../conformance/storage-reads.ts';
import { patternedBytes } from '../../support/random.ts';

const MIB = 2 ** 20;
const open = (given: Record<string, unknown>, readOnly = true) =>
  blobProtocol.open(parseOptions(blobProtocol.options, given, 'blob'), { readOnly });

/** A Blob that counts its slices, and may fail. */
class CountingBlob extends Blob {
  readonly slices: number[] = [];
  failure: Error | undefined;
  cutTo = Number.POSITIVE_INFINITY;

  override slice(start = 0, end = this.size): Blob {
    this.slices.push(end - start);
    const part = super.slice(start, Math.min(end, this.cutTo));
    const { failure } = this;
    if (failure !== undefined) part.arrayBuffer = () => Promise.reject(failure);
    return part;
  }
}

describe('blob', () => {
  registerReadOnlySuite(
    {
      driver: blobProtocol,
      synchronous: false,
      chunkBytes: 65536,
      provide: async (bytes) => ({ blob: new Blob([bytes]), cache_size: 65536 * 3 }),
    },
    test,
  );

  test('sequential small reads become few slices', async () => {
    const blob = new CountingBlob([patternedBytes(1, 0, 8 * MIB).slice()]);
    const storage = await open({ blob });
    for (let offset = 0; offset < 8 * MIB; offset += 4096) await storage.read(offset, new Uint8Array(4096));
    expect(blob.slices.length).toBeLessThan(24);
    expect(storage.read(8 * MIB - 4096, new Uint8Array(4096))).toBeUndefined();
  });

  test('a large read is made of slices of a mebibyte', async () => {
    const blob = new CountingBlob([new Uint8Array(8 * MIB)]);
    const storage = await open({ blob });
    await storage.read(0, new Uint8Array(8 * MIB));
    expect(blob.slices).toEqual(Array.from({ length: 8 }, () => MIB));
  });

  test('a file that changed on disk is base-changed', async () => {
    const blob = new CountingBlob([new Uint8Array(3 * 65536)]);
    const storage = await open({ blob });
    blob.failure = new DOMException('gone', 'NotReadableError');
    await expect(storage.read(0, new Uint8Array(10))).rejects.toMatchObject({ kind: 'base-changed' });
    blob.failure = new Error('odd');
    await expect(storage.read(0, new Uint8Array(10))).rejects.toMatchObject({ kind: 'io' });
    blob.failure = undefined;
    blob.cutTo = 100;
    await expect(storage.read(0, new Uint8Array(10))).rejects.toMatchObject({ kind: 'base-changed' });
  });

  test('identity and name', async () => {
    const file = new File([new Uint8Array(10)], 'disk.vdi', { lastModified: 1234 });
    const storage = await open({ blob: file });
    expect(storage.identity!()).toEqual({ size: 10, lastModifiedMs: 1234 });
    expect(blobProtocol.filename({ blob: file, cache_size: 1 })).toBe('disk.vdi');
    expect(blobProtocol.filename({ blob: file, filename: 'mine.img', cache_size: 1 })).toBe('mine.img');
    await expect(open({ blob: 'text' })).rejects.toMatchObject({ kind: 'invalid' });
  });
});

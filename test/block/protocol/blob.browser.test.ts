import { describe, expect, test } from 'vitest';
import { parseOptions } from '../../../src/block/options.ts';
import { blobProtocol } from '../../../src/block/protocol/blob/index.ts';
import { registerReadOnlySuite } from '../../conformance/storage-reads.ts';
import { patternedBytes } from '../../support/random.ts';

const open = (given: Record<string, unknown>) =>
  blobProtocol.open(parseOptions(blobProtocol.options, given, 'blob'), { readOnly: true });

describe('blob in a browser', () => {
  registerReadOnlySuite(
    {
      driver: blobProtocol,
      synchronous: false,
      chunkBytes: 65536,
      provide: async (bytes) => ({ blob: new File([bytes], 'disk.img'), cache_size: 65536 * 3 }),
    },
    test,
  );

  test('a file that was changed since it was chosen is base-changed', async () => {
    const top = await navigator.storage.getDirectory();
    const handle = await top.getFileHandle(`blob-${crypto.randomUUID()}`, { create: true });
    const fill = async (bytes: Uint8Array<ArrayBuffer>) => {
      const writable = await handle.createWritable();
      await writable.write(bytes);
      await writable.close();
    };
    await fill(patternedBytes(1, 0, 100_000).slice());
    const storage = await open({ blob: await handle.getFile() });
    await storage.read(0, new Uint8Array(10));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await fill(patternedBytes(2, 0, 90_000).slice());
    await expect(storage.read(70_000, new Uint8Array(10))).rejects.toMatchObject({ kind: 'base-changed' });
    await top.removeEntry(handle.name);
  });
});

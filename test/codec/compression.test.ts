import * as zlib from 'node:zlib';
import { expect, it } from 'vitest';
import { portableCompression } from '../../src/codec/index.ts';
import { nodeCompression } from '../../src/node/compression.ts';
import { equalBytes, Random } from '../support/random.ts';
import { compressible, compressionSuite } from './compression-suite.ts';

compressionSuite('portable', portableCompression);
compressionSuite('by Node', nodeCompression);

it.each([
  ['portable', portableCompression],
  ['by Node', nodeCompression],
])('writes deflate with a window that a reader of 12 bits bears: %s', async (_name, set) => {
  const codec = await set.load('deflate');
  const bytes = compressible(new Random(10), 65_536);
  // So small pieces of output that nothing but the window holds what was before.
  const options = { windowBits: 12, chunkSize: 64 };
  expect(equalBytes(zlib.inflateRawSync(codec.compress(bytes)!, options), bytes)).toBe(true);
  // The check can fail: what was written for a larger window is refused.
  const wide = zlib.deflateRawSync(bytes, { windowBits: 15, memLevel: 9 });
  expect(() => zlib.inflateRawSync(wide, options)).toThrow(/too far back/);
  const output = new Uint8Array(bytes.length);
  codec.decompress(wide, output);
  expect(equalBytes(output, bytes)).toBe(true);
});

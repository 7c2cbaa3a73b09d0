import type { CompressionSet } from '../block/compression.ts';
import { deflate } from './deflate.ts';
import { loadZstd } from './zstd.ts';

/** Compression that needs nothing of its environment: for pages and workers, and for Node where it has no better. */
export const portableCompression: CompressionSet = {
  load: (method) => (method === 'deflate' ? deflate : loadZstd()),
};

/** Compression by the libraries that Node brings, at once or on its threads. */
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import type * as nodeZlib from 'node:zlib';
import type { ZlibOptions, ZstdOptions } from 'node:zlib';
import type { CompressionMethod, CompressionSet, Compressor } from '../block/compression.ts';
import { DEFLATE_MEMORY_LEVEL, DEFLATE_WINDOW_BITS } from '../codec/deflate-settings.ts';
import { shorter, streamTooLong, streamTooShort, wrongStream } from '../codec/errors.ts';
import { portableCompression } from '../codec/index.ts';
import { exactFrame } from '../codec/zstd-frame.ts';

/** So much larger than the output is the buffer, or Node makes a second one to see whether there is more. */
const SPARE_BYTES = 64;

let loaded: typeof nodeZlib | undefined;

/** Loaded with the first cluster that is compressed: most commands see none, and it takes some of the time that they take. */
function zlib(): typeof nodeZlib {
  loaded ??= createRequire(import.meta.url)('node:zlib') as typeof nodeZlib;
  return loaded;
}

/** Node 20 has no zstd: there it is the portable one. */
const hasZstd = (): boolean => typeof zlib().zstdCompressSync === 'function';

export const nodeCompression: CompressionSet = {
  load(method) {
    if (method === 'deflate') return deflate;
    return hasZstd() ? zstd : portableCompression.load(method);
  },
};

/** Makes something when it is first asked for, and then gives it again. */
function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** What Node does on its threads, as promises. Making such a function takes as long as decompressing a small cluster. */
const onThread = {
  inflateRaw: once(() => promisify<Uint8Array, ZlibOptions, Buffer>(zlib().inflateRaw)),
  deflateRaw: once(() => promisify<Uint8Array, ZlibOptions, Buffer>(zlib().deflateRaw)),
  zstdDecompress: once(() => promisify<Uint8Array, ZstdOptions, Buffer>(zlib().zstdDecompress)),
};

/** A stream that only lacks its end has given all that was asked of it: no error then. */
const inflateOptions = (size: number): ZlibOptions => ({
  finishFlush: zlib().constants.Z_SYNC_FLUSH,
  chunkSize: size + SPARE_BYTES,
  maxOutputLength: size,
});

const deflateOptions = (size: number): ZlibOptions => ({
  windowBits: DEFLATE_WINDOW_BITS,
  memLevel: DEFLATE_MEMORY_LEVEL,
  chunkSize: size + SPARE_BYTES,
});

const deflate: Compressor = {
  decompress(data, output) {
    take('deflate', output, () => zlib().inflateRawSync(data, inflateOptions(output.length)));
  },
  compress: (data) => shorter(zlib().deflateRawSync(data, deflateOptions(data.length)), data),
  threads: {
    decompress: (data, output) =>
      takeLater('deflate', output, onThread.inflateRaw()(data, inflateOptions(output.length))),
    compress: async (data) => shorter(await onThread.deflateRaw()(data, deflateOptions(data.length)), data),
  },
};

const zstdOptions = (size: number): ZstdOptions => ({ chunkSize: size + SPARE_BYTES, maxOutputLength: size });

const zstd: Compressor = {
  decompress(data, output) {
    const frame = exactFrame(data, output.length);
    take('zstd', output, () => zlib().zstdDecompressSync(frame, zstdOptions(output.length)));
  },
  compress: (data) => shorter(zlib().zstdCompressSync(data, { chunkSize: data.length + SPARE_BYTES }), data),
  threads: {
    async decompress(data, output) {
      const frame = exactFrame(data, output.length);
      await takeLater('zstd', output, onThread.zstdDecompress()(frame, zstdOptions(output.length)));
    },
    // At once: what Node does to hand a cluster over takes longer than zstd does. `npm run bench -- compress`
    compress: (data) => Promise.resolve(zstd.compress(data)),
  },
};

/** What `take` does with bytes that are on their way. */
async function takeLater(method: CompressionMethod, output: Uint8Array, content: Promise<Uint8Array>): Promise<void> {
  await content.then(
    (bytes) => take(method, output, () => bytes),
    (error: unknown) => fail(method, output, error),
  );
}

function take(method: CompressionMethod, output: Uint8Array, decode: () => Uint8Array): void {
  let bytes: Uint8Array;
  try {
    bytes = decode();
  } catch (error) {
    fail(method, output, error);
  }
  if (bytes.length < output.length) throw streamTooShort(method, bytes.length, output.length);
  output.set(bytes);
}

function fail(method: CompressionMethod, output: Uint8Array, error: unknown): never {
  if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') {
    throw streamTooLong(method, output.length);
  }
  throw wrongStream(method, error instanceof Error ? error.message : String(error), error);
}

/** Compression by the libraries that Node brings, at once or on its threads. */
import * as zlib from 'node:zlib';
import { promisify } from 'node:util';
import type { CompressionMethod, CompressionSet, Compressor } from '../block/compression.ts';
import { DEFLATE_MEMORY_LEVEL, DEFLATE_WINDOW_BITS } from '../codec/deflate.ts';
import { shorter, streamTooLong, streamTooShort, wrongStream } from '../codec/errors.ts';
import { portableCompression } from '../codec/index.ts';
import { exactFrame } from '../codec/zstd-frame.ts';

/** So much larger than the output is the buffer, or Node makes a second one to see whether there is more. */
const SPARE_BYTES = 64;

/** Node 20 has no zstd: there it is the portable one. */
const hasZstd = typeof zlib.zstdCompressSync === 'function';

export const nodeCompression: CompressionSet = {
  load(method) {
    if (method === 'deflate') return deflate;
    return hasZstd ? zstd : portableCompression.load(method);
  },
};

const inflateOnThread = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.inflateRaw);
const deflateOnThread = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.deflateRaw);

/** A stream that only lacks its end has given all that was asked of it: no error then. */
const inflateOptions = (size: number): zlib.ZlibOptions => ({
  finishFlush: zlib.constants.Z_SYNC_FLUSH,
  chunkSize: size + SPARE_BYTES,
  maxOutputLength: size,
});

const deflateOptions = (size: number): zlib.ZlibOptions => ({
  windowBits: DEFLATE_WINDOW_BITS,
  memLevel: DEFLATE_MEMORY_LEVEL,
  chunkSize: size + SPARE_BYTES,
});

const deflate: Compressor = {
  decompress(data, output) {
    take('deflate', output, () => zlib.inflateRawSync(data, inflateOptions(output.length)));
  },
  compress: (data) => shorter(zlib.deflateRawSync(data, deflateOptions(data.length)), data),
  threads: {
    async decompress(data, output) {
      const content = inflateOnThread(data, inflateOptions(output.length));
      await content.then(
        (bytes) => take('deflate', output, () => bytes),
        (error: unknown) => fail('deflate', output, error),
      );
    },
    compress: async (data) => shorter(await deflateOnThread(data, deflateOptions(data.length)), data),
  },
};

const zstdOptions = (size: number): zlib.ZstdOptions => ({ chunkSize: size + SPARE_BYTES, maxOutputLength: size });

/** Without threads: what Node does to hand a cluster over takes longer than zstd. */
const zstd: Compressor = {
  decompress(data, output) {
    const frame = exactFrame(data, output.length);
    take('zstd', output, () => zlib.zstdDecompressSync(frame, zstdOptions(output.length)));
  },
  compress: (data) => shorter(zlib.zstdCompressSync(data, { chunkSize: data.length + SPARE_BYTES }), data),
};

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

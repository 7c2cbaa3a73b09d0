/** What the core asks of compression. Who makes it is in `src/codec` (anywhere) and `src/node` (by Node's own libraries). */
import type { MaybePromise } from './co.ts';

/** `deflate`: a raw deflate stream (RFC 1951) without header or checksum. `zstd`: one frame (RFC 8878). */
export type CompressionMethod = 'deflate' | 'zstd';

/** Compresses and decompresses pieces of a known size: clusters. Every call stands for itself. */
export interface Compressor {
  /**
   * Decompresses a stream that must give exactly as many bytes as fit into `output`. What follows the end of the stream, such as
   * the padding up to a sector, is not looked at.
   *
   * @throws BlockError `corrupt` when the stream is broken, too short or too long; `output` may have been written to then
   */
  decompress(data: Uint8Array, output: Uint8Array): void;
  /** @returns the compressed bytes, the caller's own; undefined when they would not be fewer than those given */
  compress(data: Uint8Array): Uint8Array | undefined;
  /** The same on other threads, where there are any. The bytes are not touched once a promise has settled. */
  readonly threads?: {
    decompress(data: Uint8Array, output: Uint8Array): Promise<void>;
    compress(data: Uint8Array): Promise<Uint8Array | undefined>;
  };
}

export interface CompressionSet {
  /** Gets a method ready. To be waited for where code must be loaded first; later uses never wait. */
  load(method: CompressionMethod): MaybePromise<Compressor>;
}

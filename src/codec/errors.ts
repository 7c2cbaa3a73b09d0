/** What every codec says of a stream that is not as it must be. Who knows the place adds it. */
import type { CompressionMethod } from '../block/compression.ts';
import { BlockError } from '../block/error.ts';

export function wrongStream(method: CompressionMethod, why: string, cause?: unknown): BlockError {
  return new BlockError('corrupt', `the ${method} stream is broken (${why})`, {}, cause === undefined ? {} : { cause });
}

export function streamTooShort(method: CompressionMethod, length: number, wanted: number): BlockError {
  return new BlockError('corrupt', `the ${method} stream ends after ${length} of ${wanted} bytes`);
}

export function streamTooLong(method: CompressionMethod, wanted: number): BlockError {
  return new BlockError('corrupt', `the ${method} stream goes on after ${wanted} bytes, which is all there may be`);
}

/** What was compressed, as a plain array (a `Buffer` slices otherwise), or undefined when that was of no use. */
export function shorter({ buffer, byteOffset, length }: Uint8Array, data: Uint8Array): Uint8Array | undefined {
  return length < data.length ? new Uint8Array(buffer, byteOffset, length) : undefined;
}

/** What every codec says of a stream that is not as it must be. Who knows the place adds it. */
import { BlockError } from '../block/error.ts';

export function wrongStream(method: string, why: string, cause?: unknown): BlockError {
  return new BlockError('corrupt', `the ${method} stream is broken (${why})`, {}, cause === undefined ? {} : { cause });
}

export function streamTooShort(method: string, length: number, wanted: number): BlockError {
  return new BlockError('corrupt', `the ${method} stream ends after ${length} of ${wanted} bytes`);
}

export function streamTooLong(method: string, wanted: number): BlockError {
  return new BlockError('corrupt', `the ${method} stream goes on after ${wanted} bytes, which is all there may be`);
}

/** What was compressed, as a plain array (a `Buffer` slices otherwise), or undefined when that was of no use. */
export function shorter({ buffer, byteOffset, length }: Uint8Array, data: Uint8Array): Uint8Array | undefined {
  return length < data.length ? new Uint8Array(buffer, byteOffset, length) : undefined;
}

/**
 * Repeats what stands `distance` bytes before the end of what was decompressed so far. The two may overlap: that repeats a pattern.
 * The caller has seen to it that `length` bytes fit.
 *
 * @throws BlockError `corrupt` when the distance leads before the start
 */
export function copyMatch(method: string, output: Uint8Array, done: number, distance: number, length: number): void {
  if (distance < 1 || distance > done)
    throw wrongStream(method, `a copy from ${distance} bytes back after ${done} bytes`);
  if (distance >= length) {
    output.copyWithin(done, done - distance, done - distance + length);
    return;
  }
  for (let index = done; index < done + length; index++) output[index] = output[index - distance]!;
}

/** Taking space for a part of a file before there is data for it. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild, Preallocation } from '../../driver.ts';
import { TimeSlice } from '../../time-slice.ts';

/** Bytes of zeroes that are written at once, and that a storage is asked to reserve at once. */
const WRITTEN_BYTES = 1024 * 1024;
const RESERVED_BYTES = 64 * 1024 * 1024;

/**
 * Makes a range of a file zeroes that have their space: `falloc` asks the storage for zeroes that it keeps space for, `full` writes
 * them. A file that is shorter grows.
 *
 * @param onBytes told of bytes as they are done; may throw to give up
 * @throws BlockError `no-space`, and what else the storage throws
 */
export function* reserveZeroes(
  file: BlockChild,
  offset: number,
  length: number,
  mode: Extract<Preallocation, 'falloc' | 'full'>,
  onBytes?: (bytes: number) => void,
): Co<void> {
  const slice = new TimeSlice();
  const end = offset + length;
  // Within its length a storage keeps the space of zeroes; what lies behind may become a hole.
  if (file.length < end) yield* settle(file.truncate(end));
  const step = mode === 'full' ? WRITTEN_BYTES : RESERVED_BYTES;
  const zeroes = mode === 'full' ? new Uint8Array(Math.min(step, length)) : undefined;
  for (let at = offset; at < end; at += step) {
    const count = Math.min(step, end - at);
    yield* settle(zeroes === undefined ? file.writeZeroes(at, count) : file.write(at, zeroes.subarray(0, count)));
    onBytes?.(count);
    yield* slice.pause();
  }
}

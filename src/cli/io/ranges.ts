/** Ranges of the disk that commands name. */
import { BlockError } from '../../node/index.ts';
import { CommandError } from './command.ts';
import type { IoContext } from './context.ts';
import { byteCount, MAX_REQUEST_BYTES } from './numbers.ts';

/** Runs a request if its range is inside the disk. What is not is an I/O error, as for a guest. @throws BlockError `io` */
export function inDisk<T>({ disk }: IoContext, offset: number, length: number, request: () => T): T {
  if (offset + length <= disk.length) return request();
  throw new BlockError('io', `The range ends behind the disk of ${disk.length} bytes`, { offset, length });
}

/** The sum of lengths that are given one by one. @throws CommandError */
export function vectorLength(texts: readonly string[]): number {
  let sum = 0;
  for (const text of texts) {
    const length = byteCount(text);
    if (length > MAX_REQUEST_BYTES) {
      throw new CommandError(`Argument '${text}' exceeds maximum size ${MAX_REQUEST_BYTES}`);
    }
    sum += length;
    if (sum > MAX_REQUEST_BYTES) {
      throw new CommandError(`The total number of bytes exceed the maximum size ${MAX_REQUEST_BYTES}`);
    }
  }
  return sum;
}

/** Requests of any offset and length over storage that takes only whole blocks. */
import { settle, type Co, type MaybePromise } from '../co.ts';
import { requestBuffers } from './buffers.ts';
import type { RequestTracker } from './tracked.ts';

/** Reads and writes in whole blocks. */
export interface BlockIo {
  read(offset: number, buffer: Uint8Array): MaybePromise<void>;
  write(offset: number, data: Uint8Array): MaybePromise<void>;
}

export function isAligned(offset: number, length: number, alignment: number): boolean {
  return alignment === 1 || (offset % alignment === 0 && length % alignment === 0);
}

/** Reads the whole blocks around a range and copies the range out. */
export function* readUnaligned(io: BlockIo, offset: number, buffer: Uint8Array, alignment: number): Co<void> {
  const before = offset % alignment;
  const blocks = requestBuffers.acquire(roundUp(before + buffer.length, alignment));
  try {
    yield* settle(io.read(offset - before, blocks));
    buffer.set(blocks.subarray(before, before + buffer.length));
  } finally {
    requestBuffers.release(blocks);
  }
}

/** Reads the blocks at both ends, puts the data between, and writes whole blocks, with the range to itself. */
export function* writeUnaligned(
  io: BlockIo,
  tracker: RequestTracker,
  offset: number,
  data: Uint8Array,
  alignment: number,
): Co<void> {
  const before = offset % alignment;
  const length = roundUp(before + data.length, alignment);
  const request = tracker.begin('write', offset, data.length);
  const blocks = requestBuffers.acquire(length);
  try {
    yield* tracker.makeSerialising(request, alignment);
    const lastBlock = length - alignment;
    if (before > 0 || length === alignment) yield* settle(io.read(offset - before, blocks.subarray(0, alignment)));
    if (lastBlock > 0) yield* settle(io.read(offset - before + lastBlock, blocks.subarray(lastBlock)));
    blocks.set(data, before);
    yield* settle(io.write(offset - before, blocks));
  } finally {
    requestBuffers.release(blocks);
    tracker.end(request);
  }
}

function roundUp(value: number, alignment: number): number {
  return value + ((alignment - (value % alignment)) % alignment);
}

/** The copy loop: one for convert and every block job. */
import { settle, start, withTasks, type Co, type MaybePromise } from '../co.ts';
import { NO_FLAGS, type RequestFlags } from '../driver.ts';
import { REQUEST_PARALLELISM } from '../limits.ts';
import { TimeSlice } from '../time-slice.ts';
import { isZero, requestBuffers } from './buffers.ts';
import { blockStatus, type StatusLayer } from './status.ts';

/** Data is copied in pieces of this many bytes, several at a time. */
export const COPY_BYTES = 1024 * 1024;

/** Where data comes from: a node. */
export interface CopySource extends StatusLayer {
  read(offset: number, buffer: Uint8Array): MaybePromise<void>;
}

/** Where it goes: a node's child, or a backend. */
export interface CopyTarget {
  write(offset: number, data: Uint8Array, flags?: RequestFlags): MaybePromise<void>;
  writeZeroes(offset: number, length: number, flags?: RequestFlags): MaybePromise<void>;
}

export interface CopySettings {
  /** The target reads as zeroes where nothing was written yet: zeroes are left out. */
  readonly targetIsZero: boolean;
  /** Data that turns out to be zero is treated as zeroes. qemu-img: -S. */
  readonly detectZeroes: boolean;
  /** Data is written with the flag `compressed`. */
  readonly compressed?: boolean;
  /** Called as bytes are done, with how many of the range so far. Throws when the caller gave up. */
  readonly onProgress?: (done: number) => void;
}

/**
 * Copies a guest range to the same offsets of a target, what is zero without reading it, and the rest several pieces at a time.
 *
 * @throws the first error of either side; nothing is in flight any more then
 */
export function* copyRange(
  source: CopySource,
  target: CopyTarget,
  offset: number,
  length: number,
  settings: CopySettings,
): Co<void> {
  const slice = new TimeSlice();
  let done = 0;
  const finished = (bytes: number): void => {
    done += bytes;
    settings.onProgress?.(done);
  };
  yield* withTasks(REQUEST_PARALLELISM, function* (tasks) {
    for (let position = offset; position < offset + length && !tasks.failed;) {
      const status = yield* blockStatus(source, position, offset + length - position);
      const at = position;
      const count = status.zero ? status.length : Math.min(status.length, COPY_BYTES - (position % COPY_BYTES));
      const piece = { offset: at, length: count, zero: status.zero };
      yield* tasks.issue(() => start(copyPiece(source, target, piece, settings, finished)));
      position += count;
      yield* slice.pause();
    }
  });
}

interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly zero: boolean;
}

function* copyPiece(
  source: CopySource,
  target: CopyTarget,
  piece: Piece,
  settings: CopySettings,
  finished: (bytes: number) => void,
): Co<void> {
  if (piece.zero) yield* writeZeroes(target, piece, settings);
  else yield* copyData(source, target, piece, settings);
  finished(piece.length);
}

function* copyData(source: CopySource, target: CopyTarget, piece: Piece, settings: CopySettings): Co<void> {
  const buffer = requestBuffers.acquire(piece.length);
  try {
    yield* settle(source.read(piece.offset, buffer));
    if (settings.detectZeroes && isZero(buffer)) yield* writeZeroes(target, piece, settings);
    else
      yield* settle(target.write(piece.offset, buffer, settings.compressed === true ? { compressed: true } : NO_FLAGS));
  } finally {
    requestBuffers.release(buffer);
  }
}

function* writeZeroes(target: CopyTarget, piece: Piece, settings: CopySettings): Co<void> {
  if (settings.targetIsZero) return;
  yield* settle(target.writeZeroes(piece.offset, piece.length, { mayUnmap: true }));
}

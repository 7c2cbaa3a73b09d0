/** Streams of bytes that are pulled piece by piece, so that nothing is ever held that nobody has asked for. */
import type { MaybePromise } from '../block/co.ts';

export interface ByteSource {
  /**
   * The next piece, one byte or more; undefined at the end. It belongs to the source: it is good until the next call.
   *
   * @throws BlockError `corrupt` for a broken stream, and what the storage below throws
   */
  next(): MaybePromise<Uint8Array | undefined>;
  /** Lets go of what it holds, at its end or before. Never fails. */
  close?(): MaybePromise<void>;
}

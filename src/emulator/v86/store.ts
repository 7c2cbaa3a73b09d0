import type { MaybePromise } from '../../block/co.ts';

/**
 * The disk as the drive's requests see it. Two implementations: `AsyncStore` (a disk behind messages, with a read cache and
 * a queue of writes) and `NearStore` (a disk in the same thread). Whatever can answer at once does so without a promise.
 */
export interface DiskStore {
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  readonly canDiscard: boolean;
  /** Counters that only the store can keep. */
  readonly cacheHits: number;
  readonly readAheads: number;
  /** What comes back is only valid until the next call of any method, and must not be changed. */
  read(offset: number, length: number): MaybePromise<Uint8Array>;
  /** Takes `data` over: it must not change any more. */
  write(offset: number, data: Uint8Array): MaybePromise<void>;
  discard(offset: number, length: number): MaybePromise<void>;
  /** Waits for every write and discard that was issued before, then flushes the disk. */
  flush(): MaybePromise<void>;
  /** Forgets what was cached, because somebody else wrote to the disk. */
  invalidate(): void;
}

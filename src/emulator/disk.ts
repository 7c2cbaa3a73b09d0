/**
 * What an emulator's adapter needs of a disk. The page's `Disk` satisfies `EmulatorDisk` as it is, and a `BlockBackend` of
 * the core `NearDisk`; so does any object of your own with these members.
 */

import type { MaybePromise } from '../block/co.ts';

/** A disk behind messages: every request is a promise. */
export interface EmulatorDisk {
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Resolves to exactly `length` bytes that the caller may keep and change. Only ranges inside `size` are asked for. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /**
   * Resolves once a `read` would return `data`. It must neither change nor transfer `data`: the adapter answers the
   * guest's reads from it while the write is on its way.
   */
  write(offset: number, data: Uint8Array): Promise<void>;
  /** Resolves once everything whose `write` had resolved survives a power cut. */
  flush(): Promise<void>;
  /** The guest no longer needs these bytes; what they read as afterwards is undefined. Absent: the guest gets no TRIM. */
  discard?(offset: number, length: number): Promise<void>;
}

/** A disk in the emulator's own thread, without promises: each call has done its work when it returns, or throws. */
export interface SynchronousDisk {
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Fills the whole of `buffer`. */
  readSync(offset: number, buffer: Uint8Array): void;
  /** `data` is only valid during the call. */
  writeSync(offset: number, data: Uint8Array): void;
  flushSync(): void;
  discardSync?(offset: number, length: number): void;
}

/** A disk in the emulator's own thread that may have to wait now and then. A `BlockBackend` is one. */
export interface NearDisk {
  /** Bytes. */
  readonly length: number;
  readonly readOnly: boolean;
  /** Fills the whole of `buffer`. */
  read(offset: number, buffer: Uint8Array): MaybePromise<void>;
  /** `data` stays as it is until the write is done. */
  write(offset: number, data: Uint8Array): MaybePromise<void>;
  flush(): MaybePromise<void>;
  discard?(offset: number, length: number): MaybePromise<void>;
}

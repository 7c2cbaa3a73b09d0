import { isPromise, type MaybePromise } from '../../block/co.ts';
import type { NearDisk, SynchronousDisk } from '../disk.ts';
import type { DiskStore } from './store.ts';

/** Longer reads get a buffer of their own, so that one long read does not hold its memory for ever. */
const SCRATCH_BYTES = 1024 * 1024;

/**
 * A disk in the emulator's own thread. It needs no cache: a request costs a few calls. When one has to wait after all (the
 * graph is being changed, or has storage that is not synchronous), those after it wait for it, so that they keep their order.
 */
export class NearStore implements DiskStore {
  readonly cacheHits = 0;
  readonly readAheads = 0;
  readonly #disk: NearDisk;
  #scratch: Uint8Array = new Uint8Array(0);
  /** Settles when the newest request that had to wait is over; it never rejects. */
  #waiting: Promise<unknown> | undefined;

  constructor(disk: SynchronousDisk | NearDisk) {
    this.#disk = 'readSync' in disk && 'size' in disk ? asNearDisk(disk) : disk;
  }

  get size(): number {
    return this.#disk.length;
  }

  get readOnly(): boolean {
    return this.#disk.readOnly;
  }

  get canDiscard(): boolean {
    return !this.readOnly && this.#disk.discard !== undefined;
  }

  read(offset: number, length: number): MaybePromise<Uint8Array> {
    return this.#inOrder(() => {
      const buffer = this.#takeBuffer(length);
      const done = this.#disk.read(offset, buffer);
      if (!isPromise(done)) {
        this.#keepBuffer(buffer);
        return buffer;
      }
      return done.then(() => buffer);
    });
  }

  write(offset: number, data: Uint8Array): MaybePromise<void> {
    return this.#inOrder(() => this.#disk.write(offset, data));
  }

  discard(offset: number, length: number): MaybePromise<void> {
    return this.#inOrder(() => this.#disk.discard?.(offset, length));
  }

  flush(): MaybePromise<void> {
    return this.#inOrder(() => this.#disk.flush());
  }

  invalidate(): void {
    // Nothing is cached.
  }

  #inOrder<T>(request: () => MaybePromise<T>): MaybePromise<T> {
    const result = this.#waiting === undefined ? request() : this.#waiting.then(request);
    if (!isPromise(result)) return result;
    const waiting = result
      .then(
        () => undefined,
        // Whoever made the request is told.
        () => undefined,
      )
      .then(() => {
        if (this.#waiting === waiting) this.#waiting = undefined;
      });
    this.#waiting = waiting;
    return result;
  }

  /** The scratch buffer is gone until it comes back: a read that waits keeps it. */
  #takeBuffer(length: number): Uint8Array {
    if (length > SCRATCH_BYTES) return new Uint8Array(length);
    const scratch = this.#scratch.length >= length ? this.#scratch : new Uint8Array(SCRATCH_BYTES);
    this.#scratch = new Uint8Array(0);
    return scratch.subarray(0, length);
  }

  #keepBuffer(buffer: Uint8Array): void {
    if (buffer.buffer.byteLength === SCRATCH_BYTES) this.#scratch = new Uint8Array(buffer.buffer);
  }
}

function asNearDisk(disk: SynchronousDisk): NearDisk {
  return {
    length: disk.size,
    readOnly: disk.readOnly,
    read: (offset, buffer) => disk.readSync(offset, buffer),
    write: (offset, data) => disk.writeSync(offset, data),
    flush: () => disk.flushSync(),
    ...(disk.discardSync !== undefined && {
      discard: (offset: number, length: number) => disk.discardSync?.(offset, length),
    }),
  };
}

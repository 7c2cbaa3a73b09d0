/**
 * The requests of one drive: they reach the store, what fails is treated by policy, what was stopped is kept for a retry,
 * and what the guest gave up (a device reset) is never answered.
 */

import { isPromise, type MaybePromise } from '../../block/co.ts';
import { BlockError } from '../../block/error.ts';
import { errorAction, type DriveErrorEvent, type DriveOperation, type ErrorPolicies } from './policy.ts';
import type { DiskStore } from './store.ts';

export interface RequestOptions extends ErrorPolicies {
  /** Milliseconds after a write until the disk is flushed if the guest did not ask for it; 0 for never. */
  readonly flushAfter: number;
  readonly onStop?: (event: DriveErrorEvent) => void;
  readonly onError?: (event: DriveErrorEvent) => void;
  readonly onActivity?: (kind: DriveOperation, bytes: number) => void;
}

/** The drive that the disk is plugged into. */
export interface DriveHost {
  readonly name: string;
  /** Every write is flushed before the guest is told: a drive without a volatile cache. */
  readonly writeThrough: boolean;
  /** An answer that came at once must wait, because v86 would lose the interrupt that goes with it. */
  readonly deferring: boolean;
  /** Ends the transfer that the guest waits for with an I/O error. */
  failed(operation: DriveOperation): void;
  /** Stops the machine. */
  stop(): void;
}

export interface DiskStatistics {
  readonly reads: number;
  readonly writes: number;
  readonly flushes: number;
  readonly discards: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly bytesDiscarded: number;
  /** Reads that were answered without asking the disk. */
  readonly cacheHits: number;
  /** Reads ahead of the guest. */
  readonly readAheads: number;
  /** Requests that failed, whatever was done about it. */
  readonly errors: number;
}

/** A range of a disk, in bytes. */
export interface DiskRange {
  readonly offset: number;
  readonly length: number;
}

interface Request<T> {
  readonly operation: DriveOperation;
  readonly offset: number;
  readonly length: number;
  readonly perform: () => MaybePromise<T>;
  readonly done: (value: T) => void;
  readonly failed: (error: unknown) => void;
  /** Called instead of the two others when the request was cancelled in the meantime. */
  readonly dropped?: (() => void) | undefined;
  /** The answer when errors are ignored. */
  readonly ignored: () => T;
  readonly generation: number;
}

export class DiskRequests {
  readonly store: DiskStore;
  /** What the guest sees, in bytes: the disk's size in whole sectors. What is past the disk's end reads as zeroes. */
  paddedSize: number;
  readonly #options: RequestOptions;
  #host: DriveHost | undefined;
  #generation = 0;
  #inFlight = 0;
  /** Each entry submits its request again, or drops it if the guest gave it up. */
  readonly #kept: (() => void)[] = [];
  readonly #idleWaiters: (() => void)[] = [];
  #flushTimer: ReturnType<typeof setTimeout> | undefined;
  /** A failure that the guest could not be told of when it happened: its next flush fails with it. */
  #untold: { readonly error: unknown } | undefined;
  readonly #counts = {
    reads: 0,
    writes: 0,
    flushes: 0,
    discards: 0,
    bytesRead: 0,
    bytesWritten: 0,
    bytesDiscarded: 0,
    errors: 0,
  };

  constructor(store: DiskStore, options: RequestOptions) {
    this.store = store;
    this.paddedSize = store.size;
    this.#options = options;
  }

  get host(): DriveHost | undefined {
    return this.#host;
  }

  get statistics(): DiskStatistics {
    return { ...this.#counts, cacheHits: this.store.cacheHits, readAheads: this.store.readAheads };
  }

  /** Plugs the disk into a drive, or out of it. */
  plug(host: DriveHost | undefined): void {
    this.#host = host;
  }

  /** `done` gets bytes that are only valid during the call. */
  read(
    offset: number,
    length: number,
    done: (data: Uint8Array) => void,
    failed: (error: unknown) => void,
    dropped?: () => void,
  ): void {
    this.#counts.reads += 1;
    this.#counts.bytesRead += length;
    this.#options.onActivity?.('read', length);
    this.#submit({
      operation: 'read',
      offset,
      length,
      perform: () => this.#readKept(offset, length),
      done,
      failed,
      dropped,
      ignored: () => new Uint8Array(length),
      generation: this.#generation,
    });
  }

  /** Takes `data` over: it must not change any more. */
  write(offset: number, data: Uint8Array, done: () => void, failed: (error: unknown) => void): void {
    const { length } = data;
    this.#counts.writes += 1;
    this.#counts.bytesWritten += length;
    this.#options.onActivity?.('write', length);
    this.#submit({
      operation: 'write',
      offset,
      length,
      perform: () => this.#writeData(offset, data),
      done: () => {
        this.#flushSoon();
        done();
      },
      failed,
      ignored: () => undefined,
      generation: this.#generation,
    });
  }

  discard(ranges: readonly DiskRange[], done: () => void, failed: (error: unknown) => void): void {
    const length = ranges.reduce((sum, range) => sum + range.length, 0);
    this.#counts.discards += 1;
    this.#counts.bytesDiscarded += length;
    this.#options.onActivity?.('discard', length);
    this.#submit({
      operation: 'discard',
      offset: ranges[0]?.offset ?? 0,
      length,
      perform: () => this.#discardAll(ranges),
      done: () => {
        this.#flushSoon();
        done();
      },
      failed,
      ignored: () => undefined,
      generation: this.#generation,
    });
  }

  flush(done: () => void, failed: (error: unknown) => void): void {
    this.#counts.flushes += 1;
    this.#options.onActivity?.('flush', 0);
    this.#submit({
      operation: 'flush',
      offset: 0,
      length: 0,
      perform: () => this.#flushStore(),
      done,
      failed,
      ignored: () => undefined,
      generation: this.#generation,
    });
  }

  /** For the page: everything that the guest was told is written, on the disk. Rejects with what the flush failed with. */
  async flushNow(): Promise<void> {
    await this.#flushStore();
  }

  /** The guest reset the device: it waits for none of its requests any more. */
  cancel(): void {
    this.#generation += 1;
    for (const again of this.#kept.splice(0)) again();
  }

  /** Tries everything again that an error stopped. Resolves when each has succeeded, failed for good, or was kept again. */
  async retry(): Promise<void> {
    for (const again of this.#kept.splice(0)) again();
    await this.idle();
  }

  /** Requests that wait for `retry`. */
  get stopped(): number {
    return this.#kept.length;
  }

  /** Resolves when no request is on its way. */
  async idle(): Promise<void> {
    if (this.#inFlight === 0) return;
    await new Promise<void>((resolve) => {
      this.#idleWaiters.push(resolve);
    });
  }

  #submit<T>(request: Request<T>): void {
    this.#inFlight += 1;
    let result: MaybePromise<T>;
    try {
      result = request.perform();
    } catch (error) {
      this.#answerNow(() => this.#fail(request, error));
      return;
    }
    if (isPromise(result)) {
      result.then(
        (value) => this.#answer(() => this.#succeed(request, value)),
        (error: unknown) => this.#answer(() => this.#fail(request, error)),
      );
    } else {
      const value = result;
      this.#answerNow(() => this.#succeed(request, value));
    }
  }

  /**
   * The answer was there at once. v86 tolerates that where the guest started a DMA transfer, but while it handles a write to
   * the command register it lowers the interrupt line after the command: the answer then comes when the guest is not running.
   */
  #answerNow(answer: () => void): void {
    if (this.#answersLater) queueMicrotask(() => this.#answer(answer));
    else this.#answer(answer);
  }

  get #answersLater(): boolean {
    return this.#host === undefined || this.#host.deferring;
  }

  #answer(answer: () => void): void {
    this.#inFlight -= 1;
    try {
      answer();
    } finally {
      if (this.#inFlight === 0) for (const resolve of this.#idleWaiters.splice(0)) resolve();
    }
  }

  #succeed<T>(request: Request<T>, value: T): void {
    if (request.generation === this.#generation) request.done(value);
    else request.dropped?.();
  }

  #fail<T>(request: Request<T>, error: unknown): void {
    this.#counts.errors += 1;
    if (request.generation !== this.#generation) {
      request.dropped?.();
      return;
    }
    const { operation, offset, length } = request;
    const wanted = errorAction(this.#options, operation, error);
    const action = wanted === 'stop' && this.#host === undefined ? 'report' : wanted;
    const event: DriveErrorEvent = { drive: this.#host?.name, operation, offset, length, error, action };
    this.#options.onError?.(event);
    if (action === 'ignore') request.done(request.ignored());
    else if (action === 'report') this.#report(request, error);
    else this.#stop(request, event);
  }

  #report<T>(request: Request<T>, error: unknown): void {
    if (this.#host === undefined) this.#nobodyToTell(request.operation, error);
    request.failed(error);
  }

  /** Without a drive v86 cannot be told. A lost write fails the next flush; without a listener the program hears of it. */
  #nobodyToTell(operation: DriveOperation, error: unknown): void {
    if (operation !== 'read') this.#untold ??= { error };
    if (this.#options.onError !== undefined) return;
    queueMicrotask(() => {
      throw error;
    });
  }

  #stop<T>(request: Request<T>, event: DriveErrorEvent): void {
    this.#kept.push(() => {
      if (request.generation === this.#generation) this.#submit(request);
      else request.dropped?.();
    });
    this.#host?.stop();
    this.#options.onStop?.(event);
  }

  /** The store's bytes are only valid until its next call, which may come before an answer that has to wait. */
  #readKept(offset: number, length: number): MaybePromise<Uint8Array> {
    const found = this.#readPadded(offset, length);
    return this.#answersLater && !isPromise(found) ? found.slice() : found;
  }

  #readPadded(offset: number, length: number): MaybePromise<Uint8Array> {
    const { size } = this.store;
    if (offset + length > this.paddedSize) {
      throw new BlockError('invalid', 'The guest read past the end of its disk.', { op: 'read', offset, length });
    }
    if (offset + length <= size) return this.store.read(offset, length);
    const found = offset < size ? this.store.read(offset, size - offset) : new Uint8Array(0);
    return isPromise(found) ? found.then((bytes) => padded(bytes, length)) : padded(found, length);
  }

  #writeData(offset: number, data: Uint8Array): MaybePromise<void> {
    this.#requireWritable('write', offset, data.length);
    if (offset + data.length > this.store.size) {
      throw new BlockError('invalid', 'The guest wrote past the end of its disk.', {
        op: 'write',
        offset,
        length: data.length,
      });
    }
    const written = this.store.write(offset, data);
    if (this.#host?.writeThrough !== true) return written;
    return isPromise(written) ? written.then(() => this.store.flush()) : this.store.flush();
  }

  #discardAll(ranges: readonly DiskRange[]): MaybePromise<void> {
    this.#requireWritable('discard', ranges[0]?.offset ?? 0, 0);
    const waiting = ranges
      .map((range) => this.store.discard(range.offset, range.length))
      .filter((result) => isPromise(result));
    return waiting.length === 0 ? undefined : Promise.all(waiting).then(() => undefined);
  }

  #requireWritable(op: string, offset: number, length: number): void {
    if (!this.store.readOnly) return;
    throw new BlockError('permission', 'The guest wrote to a disk that was opened read-only.', { op, offset, length });
  }

  #flushStore(): MaybePromise<void> {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    const flushed = this.store.flush();
    return isPromise(flushed) ? flushed.then(() => this.#tell()) : this.#tell();
  }

  #tell(): void {
    const untold = this.#untold;
    this.#untold = undefined;
    if (untold !== undefined) throw untold.error;
  }

  /** Guests that never flush (DOS, boot loaders) would leave their last writes in the disk's caches for ever. */
  #flushSoon(): void {
    if (this.#options.flushAfter === 0 || this.#flushTimer !== undefined) return;
    // It does not reject: its failure is remembered for the next flush.
    this.#flushTimer = setTimeout(() => void this.#flushQuietly(), this.#options.flushAfter);
  }

  async #flushQuietly(): Promise<void> {
    this.#flushTimer = undefined;
    try {
      await this.store.flush();
    } catch (error) {
      this.#counts.errors += 1;
      this.#untold ??= { error };
      this.#options.onError?.({
        drive: this.#host?.name,
        operation: 'flush',
        offset: 0,
        length: 0,
        error,
        action: 'report',
      });
    }
  }
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes);
  return result;
}

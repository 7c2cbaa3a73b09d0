/** What a guest device, an inspector or a job holds: a disk of a certain length, whatever is below. QEMU: BlockBackend. */
import { isPromise, settle, start, type Co, type MaybePromise } from '../co.ts';
import { NO_FLAGS, type Preallocation, type RequestFlags } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { Child } from './child.ts';
import type { BlockNode } from './node.ts';

export class BlockBackend {
  readonly id: string;
  readonly root: Child;
  /** False: every write is on stable storage before it is answered. QEMU: enable_write_cache, cache=writethrough. */
  writeCache = true;
  #inFlight = 0;
  #quiesced = 0;
  #closed = false;
  /** A node for each `quiesce` that is not ended yet. */
  readonly #drained: BlockNode[] = [];
  #idle: (() => void)[] = [];
  #resumed: (() => void)[] = [];

  constructor(id: string, root: Child) {
    this.id = id;
    this.root = root;
  }

  get node(): BlockNode {
    return this.root.node;
  }

  /** Bytes. */
  get length(): number {
    return this.node.length;
  }

  get readOnly(): boolean {
    return this.root.readOnly;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether the `…Sync` methods can be used: nothing below ever has to wait. */
  get synchronous(): boolean {
    return this.node.synchronous;
  }

  /**
   * Fills the buffer with guest bytes.
   *
   * @param offset guest offset in bytes; offset and buffer may be of any alignment, and must lie inside the disk
   * @throws BlockError `invalid` outside the disk, `closed`, and what the graph below reports
   */
  read(offset: number, buffer: Uint8Array, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    this.#check('read', offset, buffer.length);
    if (this.#quiesced > 0) return start(this.#later(() => this.read(offset, buffer, flags)));
    return this.#track(this.node.read(offset, buffer, flags));
  }

  /** Writes guest bytes. They survive a power cut once a `flush` that began after it has returned; without a write cache at once. */
  write(offset: number, data: Uint8Array, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    this.#check('write', offset, data.length);
    if (this.#quiesced > 0) return start(this.#later(() => this.write(offset, data, flags)));
    return this.#track(this.root.write(offset, data, this.#stable(flags)));
  }

  writeZeroes(offset: number, length: number, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    this.#check('write zeroes', offset, length);
    if (this.#quiesced > 0) return start(this.#later(() => this.writeZeroes(offset, length, flags)));
    return this.#track(this.root.writeZeroes(offset, length, this.#stable(flags)));
  }

  discard(offset: number, length: number): MaybePromise<void> {
    this.#check('discard', offset, length);
    if (this.#quiesced > 0) return start(this.#later(() => this.discard(offset, length)));
    return this.#track(this.root.discard(offset, length));
  }

  /** Everything that was written before is on stable storage when it returns. */
  flush(): MaybePromise<void> {
    this.#check('flush', 0, 0);
    if (this.#quiesced > 0) return start(this.#later(() => this.flush()));
    return this.#track(this.root.flush());
  }

  /** Changes the size of the disk, in bytes. @throws BlockError `unsupported` where the format cannot */
  resize(length: number, preallocation: Preallocation = 'off'): MaybePromise<void> {
    if (this.#closed) throw this.#closedError();
    if (this.#quiesced > 0) return start(this.#later(() => this.resize(length, preallocation)));
    return this.#track(this.root.truncate(length, preallocation));
  }

  /** `read` without ever waiting. @throws BlockError `would-block` when the graph is not synchronous, or being changed */
  readSync(offset: number, buffer: Uint8Array): void {
    this.#checkSynchronous('read', offset, buffer.length);
    this.#expectDone(this.node.read(offset, buffer));
  }

  /** `write` without ever waiting. @throws BlockError `would-block` like `readSync` */
  writeSync(offset: number, data: Uint8Array): void {
    this.#checkSynchronous('write', offset, data.length);
    this.#expectDone(this.root.write(offset, data, this.#stable(NO_FLAGS)));
  }

  /** `flush` without ever waiting. @throws BlockError `would-block` like `readSync` */
  flushSync(): void {
    this.#checkSynchronous('flush', 0, 0);
    this.#expectDone(this.root.flush());
  }

  /** Holds new requests back, and waits until none is in flight. Pairs with `resume`. QEMU: drained section. */
  *quiesce(): Co<void> {
    this.#quiesced++;
    // Filters below let go of what they hold back, or the requests that this waits for would never be done.
    const { node } = this;
    node.drainBegin();
    this.#drained.push(node);
    while (this.#inFlight > 0) {
      yield new Promise<void>((resolve) => {
        this.#idle.push(resolve);
      });
    }
  }

  /** Lets requests through again, those that were held back first. */
  resume(): void {
    this.#quiesced--;
    this.#drained.pop()?.drainEnd();
    if (this.#quiesced > 0) return;
    for (const wake of this.#resumed.splice(0)) wake();
  }

  /** No request is taken any more. The graph detaches the backend once it is idle. */
  markClosed(): void {
    this.#closed = true;
  }

  #stable(flags: RequestFlags): RequestFlags {
    return this.writeCache ? flags : { ...flags, fua: true };
  }

  #check(op: string, offset: number, length: number): void {
    if (this.#closed) throw this.#closedError();
    // Comparisons alone: they are false for what is no number, and every disk ends below 2^53.
    if (Math.floor(offset) === offset && offset >= 0 && length >= 0 && offset + length <= this.length) return;
    throw new BlockError('invalid', `The range to ${op} is not inside the disk of ${this.length} bytes`, {
      node: this.node.nodeName,
      op,
      offset,
      length,
    });
  }

  #checkSynchronous(op: string, offset: number, length: number): void {
    this.#check(op, offset, length);
    if (this.synchronous && this.#quiesced === 0) return;
    const why = this.synchronous ? 'is being changed' : 'has storage that must be waited for';
    throw new BlockError('would-block', `A synchronous ${op} is not possible: the graph below ${why}`, {
      node: this.node.nodeName,
      op,
    });
  }

  #expectDone(result: MaybePromise<void>): void {
    if (!isPromise(result)) return;
    // Nobody will wait for it: its own failure is not news beside this one.
    result.catch(() => undefined);
    throw new BlockError('internal', 'A graph that calls itself synchronous had to wait', { node: this.node.nodeName });
  }

  #closedError(): BlockError {
    return new BlockError('closed', `The disk '${this.id}' is closed`, { node: this.node.nodeName });
  }

  #track(result: MaybePromise<void>): MaybePromise<void> {
    return isPromise(result) ? start(this.#untilDone(result)) : result;
  }

  *#untilDone(result: Promise<void>): Co<void> {
    this.#inFlight++;
    try {
      yield result;
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0) for (const wake of this.#idle.splice(0)) wake();
    }
  }

  *#later(request: () => MaybePromise<void>): Co<void> {
    while (this.#quiesced > 0) {
      yield new Promise<void>((resolve) => {
        this.#resumed.push(resolve);
      });
    }
    yield* settle(request());
  }
}

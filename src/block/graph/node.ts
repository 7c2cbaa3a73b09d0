/** A vertex of the graph: an opened driver with its children, its users, its requests in flight and its counters. */
import { BitmapSet } from '../bitmap/bitmap-set.ts';
import { chain, isPromise, start, type Co, type MaybePromise } from '../co.ts';
import {
  NO_FLAGS,
  type BlockChild,
  type BlockDriver,
  type BlockLimits,
  type FormatImage,
  type Preallocation,
  type RequestFlags,
} from '../driver.ts';
import { BlockError, withContext } from '../error.ts';
import type { BlockEvent } from '../events.ts';
import type { LayerStatus, StatusLayer } from '../io/status.ts';
import { RequestTracker, type RequestKind } from '../io/tracked.ts';
import type { Child } from './child.ts';
import { NodeStatistics, type OperationCounter } from './statistics.ts';

/** Counts every change of who stands on whom: what was resolved through the graph before is void afterwards. */
export interface GraphClock {
  generation: number;
}

/** QEMU: BlockDriverState. */
export abstract class BlockNode implements StatusLayer {
  readonly nodeName: string;
  readonly driver: BlockDriver;
  readonly children = new Map<string, Child>();
  readonly parents = new Set<Child>();
  readonly statistics = new NodeStatistics();
  readonly tracker = new RequestTracker();
  readonly clock: GraphClock;
  /** Its dirty bitmaps: what is written to the node, whoever does it, is recorded there. */
  readonly bitmaps: BitmapSet;
  /** For observers of the driver's named points. */
  onEvent: ((name: BlockEvent) => void) | undefined;
  #closed = false;

  constructor(nodeName: string, driver: BlockDriver, clock: GraphClock, bitmaps = new BitmapSet()) {
    this.nodeName = nodeName;
    this.driver = driver;
    this.clock = clock;
    this.bitmaps = bitmaps;
  }

  /** Bytes. */
  abstract readonly length: number;
  abstract readonly readOnly: boolean;
  /** Every storage that is reachable from here answers without waiting. */
  abstract readonly synchronous: boolean;
  abstract readonly limits: BlockLimits;
  abstract readonly isFilter: boolean;
  abstract readonly below: BlockNode | undefined;
  abstract layerStatus(offset: number, length: number): MaybePromise<LayerStatus>;

  protected abstract performRead(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void>;
  protected abstract performWrite(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void>;
  protected abstract performWriteZeroes(offset: number, length: number, flags: RequestFlags): MaybePromise<void>;
  protected abstract performDiscard(offset: number, length: number): MaybePromise<void>;
  protected abstract performFlush(): MaybePromise<void>;
  protected abstract performTruncate(length: number, preallocation: Preallocation): MaybePromise<void>;
  protected abstract performClose(): MaybePromise<void>;
  abstract allocatedSize(): MaybePromise<number | undefined>;

  /** Of the storage that holds an image's own bytes, down its `file` children. */
  get filename(): string | undefined {
    return (this.isFilter ? this.below : this.children.get('file')?.node)?.filename;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The image of a format node whose mapping cannot change: what it maps may be remembered until the graph changes. */
  get frozenImage(): FormatImage | undefined {
    return undefined;
  }

  /** The edge that a driver knows as `child`. */
  childFor(child: BlockChild): Child {
    for (const edge of this.children.values()) if (edge === child) return edge;
    throw new BlockError('internal', `Node '${this.nodeName}' maps data to a child that it does not have`);
  }

  /** Fills the buffer. Past the end of the node zeroes are read: users with a guest behind them check bounds themselves. */
  read(offset: number, buffer: Uint8Array, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    const counter = this.statistics.read;
    const startMs = counter.startMs();
    let result: MaybePromise<void>;
    try {
      this.#checkOpen();
      result = this.performRead(offset, buffer, flags);
    } catch (error) {
      throw this.#failed(counter, error, 'read', offset, buffer.length);
    }
    if (isPromise(result)) return start(this.#finish(result, counter, startMs, 'read', offset, buffer.length));
    counter.count(buffer.length, startMs);
  }

  write(offset: number, data: Uint8Array, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    const counter = this.statistics.write;
    const startMs = counter.startMs();
    let result: MaybePromise<void>;
    try {
      this.#checkWritable();
      result =
        flags.fua === true
          ? this.#stably(flags, (plain) => this.performWrite(offset, data, plain))
          : this.performWrite(offset, data, flags);
    } catch (error) {
      this.requestEvent('pwritev_done');
      throw this.#failed(counter, error, 'write', offset, data.length);
    }
    if (isPromise(result)) return start(this.#finish(result, counter, startMs, 'write', offset, data.length));
    counter.count(data.length, startMs);
    this.#record(offset, data.length);
    this.#wrote(offset + data.length);
    this.requestEvent('pwritev_done');
  }

  writeZeroes(offset: number, length: number, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    return this.#account(this.statistics.zero, 'zero', offset, length, () => {
      this.#checkWritable();
      return flags.fua === true
        ? this.#stably(flags, (plain) => this.performWriteZeroes(offset, length, plain))
        : this.performWriteZeroes(offset, length, flags);
    });
  }

  discard(offset: number, length: number): MaybePromise<void> {
    return this.#account(this.statistics.discard, 'discard', offset, length, () => {
      this.#checkWritable();
      return this.performDiscard(offset, length);
    });
  }

  /** Everything that was written before is on stable storage when it returns. */
  flush(): MaybePromise<void> {
    return this.#account(this.statistics.flush, 'flush', 0, 0, () => {
      this.#checkOpen();
      return this.performFlush();
    });
  }

  /** Changes the length, in bytes. */
  truncate(length: number, preallocation: Preallocation = 'off'): MaybePromise<void> {
    this.#checkWritable();
    this.bitmaps.checkResize(length);
    return chain(this.performTruncate(length, preallocation), () => this.bitmaps.resize(this.length));
  }

  /** Closes the driver. The children are closed by the graph. */
  close(): MaybePromise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.clock.generation++;
    return this.performClose();
  }

  /** A driver above is at a named point: observers of this node hear of it, and so do filters below. */
  event(name: BlockEvent): void {
    this.onEvent?.(name);
  }

  /** A request to this node itself is at a named point. Nobody below hears of it: requests there have points of their own. */
  requestEvent(name: BlockEvent): void {
    this.onEvent?.(name);
  }

  /** Requests that a filter here or below holds back go on, and none is held back until `drainEnd`. */
  drainBegin(): void {
    for (const child of this.children.values()) child.node.drainBegin();
  }

  drainEnd(): void {
    for (const child of this.children.values()) child.node.drainEnd();
  }

  /** A flush reaches all that is below, so nobody there has to know. */
  #stably(flags: RequestFlags, change: (flags: RequestFlags) => MaybePromise<void>): MaybePromise<void> {
    return chain(change({ ...flags, fua: false }), () => this.flush());
  }

  #wrote(end: number): void {
    if (end > this.statistics.writeHighestOffset) this.statistics.writeHighestOffset = end;
  }

  #account(
    counter: OperationCounter,
    op: RequestKind | 'flush',
    offset: number,
    length: number,
    perform: () => MaybePromise<void>,
  ): MaybePromise<void> {
    const startMs = counter.startMs();
    let result: MaybePromise<void>;
    try {
      result = perform();
    } catch (error) {
      throw this.#failed(counter, error, op, offset, length);
    }
    if (isPromise(result)) return start(this.#finish(result, counter, startMs, op, offset, length));
    counter.count(length, startMs);
    if (op !== 'flush') this.#record(offset, length);
    if (op === 'zero') this.requestEvent('pwritev_done');
  }

  /** Only when a change is done, well or not: a job that copies what is dirty meanwhile must come by again. */
  #record(offset: number, length: number): void {
    if (this.bitmaps.size > 0) this.bitmaps.record(offset, length, this.length);
  }

  /** @param startMs -1 when the request was not to be timed: then its time is that which it waits, and that is nearly all */
  *#finish(
    result: Promise<void>,
    counter: OperationCounter,
    startMs: number,
    op: RequestKind | 'flush',
    offset: number,
    length: number,
  ): Co<void> {
    const beganMs = startMs >= 0 ? startMs : performance.now();
    try {
      yield result;
      counter.countWaited(length, beganMs);
      if (op !== 'read' && op !== 'flush') this.#record(offset, length);
      if (op === 'write') this.#wrote(offset + length);
    } catch (error) {
      throw this.#failed(counter, error, op, offset, length);
    } finally {
      if (op === 'write' || op === 'zero') this.requestEvent('pwritev_done');
    }
  }

  #failed(counter: OperationCounter, error: unknown, op: string, offset: number, length: number): BlockError {
    counter.failed++;
    if (op !== 'read' && op !== 'flush') this.#record(offset, length);
    return withContext(error, { node: this.nodeName, driver: this.driver.name, op, offset, length });
  }

  #checkOpen(): void {
    if (this.#closed) throw new BlockError('closed', `Node '${this.nodeName}' is closed`);
  }

  #checkWritable(): void {
    this.#checkOpen();
    if (this.readOnly) throw new BlockError('permission', `Node '${this.nodeName}' is read-only`);
  }
}

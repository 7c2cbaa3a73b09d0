/** The node of an opened protocol: the bottom of every graph. Aligns requests and keeps count of the length. */
import { chain, isPromise, settle, start, startAsync, type Co, type MaybePromise } from '../co.ts';
import type { BlockLimits, ProtocolDriver, RequestFlags, Storage } from '../driver.ts';
import { BlockError } from '../error.ts';
import { isAligned, readUnaligned, writeUnaligned, type BlockIo } from '../io/align.ts';
import { zeroBuffer } from '../io/buffers.ts';
import type { LayerStatus } from '../io/status.ts';
import { MAX_OFFSET, ZERO_BUFFER_BYTES } from '../limits.ts';
import { BlockNode, type GraphClock } from './node.ts';

export class StorageNode extends BlockNode {
  readonly storage: Storage;
  /** The name that people know the file by. */
  readonly filename: string;
  readonly limits: BlockLimits;
  readonly synchronous: boolean;
  readonly isFilter = false;
  readonly below = undefined;
  readonly #blocks: BlockIo;
  readonly #alignment: number;
  #length: number;
  /** Counts what a flush would have to make stable. */
  #writes = 0;
  #flushedWrites = 0;
  #flushing: Promise<void> | undefined;

  /** @param length what `storage.getLength()` says, in bytes */
  constructor(
    nodeName: string,
    driver: ProtocolDriver,
    clock: GraphClock,
    storage: Storage,
    filename: string,
    length: number,
  ) {
    super(nodeName, driver, clock);
    this.storage = storage;
    this.filename = filename;
    this.limits = storage.limits;
    this.#alignment = storage.limits.requestAlignment;
    this.synchronous = storage.synchronous;
    this.#length = length;
    this.#blocks = { read: (at, buffer) => storage.read(at, buffer), write: (at, data) => storage.write(at, data) };
  }

  get length(): number {
    return this.#length;
  }

  get readOnly(): boolean {
    return this.storage.readOnly;
  }

  protected performRead(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const alignment = this.#alignment;
    if (buffer.length === 0) return;
    if (alignment === 1 || isAligned(offset, buffer.length, alignment)) return this.storage.read(offset, buffer);
    return start(readUnaligned(this.#blocks, offset, buffer, alignment));
  }

  protected performWrite(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (data.length === 0) return;
    if (offset + data.length > MAX_OFFSET) throw new BlockError('invalid', 'The write ends at or above 2^53');
    const written = this.#alignment === 1 ? this.storage.write(offset, data) : this.#writeBlocks(offset, data);
    const end = offset + data.length;
    if (isPromise(written)) return written.then(() => this.#afterWrite(end, flags));
    return this.#afterWrite(end, flags);
  }

  #writeBlocks(offset: number, data: Uint8Array): MaybePromise<void> {
    const alignment = this.#alignment;
    if (!isAligned(offset, data.length, alignment)) {
      return start(writeUnaligned(this.#blocks, this.tracker, offset, data, alignment));
    }
    return this.#beside(offset, data.length, () => this.storage.write(offset, data));
  }

  /**
   * Changes whole blocks, but not while an unaligned write has read one of them and not written it back yet: what is changed here
   * would be lost.
   */
  #beside(offset: number, length: number, change: () => MaybePromise<void>): MaybePromise<void> {
    if (this.#alignment === 1) return change();
    if (this.tracker.serialising > 0) return start(this.#afterOverlapping(offset, length, change));
    const changing = change();
    return isPromise(changing) ? this.tracker.track('write', offset, length, changing) : changing;
  }

  *#afterOverlapping(offset: number, length: number, change: () => MaybePromise<void>): Co<void> {
    const request = this.tracker.begin('write', offset, length);
    try {
      yield* this.tracker.waitForOverlapping(request);
      yield* settle(change());
    } finally {
      this.tracker.end(request);
    }
  }

  #afterWrite(end: number, flags: RequestFlags): MaybePromise<void> {
    this.#writes++;
    if (end > this.#length) this.#length = end;
    if (flags.fua === true) return this.flush();
  }

  protected performWriteZeroes(offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    return start(this.#writeZeroes(offset, length, flags));
  }

  *#writeZeroes(offset: number, length: number, flags: RequestFlags): Co<void> {
    const { storage } = this;
    const aligned = isAligned(offset, length, Math.max(this.limits.requestAlignment, this.limits.writeZeroesAlignment));
    if (storage.writeZeroes !== undefined && aligned) {
      const zero = (): MaybePromise<void> => storage.writeZeroes!(offset, length, flags.mayUnmap === true);
      yield* settle(this.#beside(offset, length, zero));
      yield* settle(this.#afterWrite(offset + length, flags));
      return;
    }
    for (let done = 0; done < length;) {
      const part = Math.min(length - done, ZERO_BUFFER_BYTES);
      yield* settle(this.performWrite(offset + done, zeroBuffer(part), flags));
      done += part;
    }
  }

  protected performDiscard(offset: number, length: number): MaybePromise<void> {
    const end = Math.min(offset + length, this.#length);
    if (this.storage.discard === undefined || end <= offset) return;
    if (!isAligned(offset, end - offset, this.limits.discardAlignment)) return;
    this.#writes++;
    const { storage } = this;
    return this.#beside(offset, end - offset, () => storage.discard!(offset, end - offset));
  }

  protected performFlush(): MaybePromise<void> {
    // A flush in flight may have begun before our last write. Wait for it, and see then.
    if (this.#flushing !== undefined) return this.#flushing.then(() => this.performFlush());
    if (this.#flushedWrites === this.#writes) return;
    const covered = this.#writes;
    const flushed = this.storage.flush();
    if (!isPromise(flushed)) {
      this.#flushedWrites = covered;
      return;
    }
    const finished = startAsync(this.#finishFlush(flushed, covered));
    // Who waits for this flush looks again for itself: only the one that began it is told that it failed.
    this.#flushing = finished
      .catch(() => undefined)
      .then(() => {
        this.#flushing = undefined;
      });
    return finished;
  }

  *#finishFlush(flushed: Promise<void>, covered: number): Co<void> {
    yield flushed;
    this.#flushedWrites = covered;
  }

  protected performTruncate(length: number): MaybePromise<void> {
    return chain(this.storage.truncate(length), () => {
      this.#writes++;
      this.#length = length;
    });
  }

  protected performClose(): MaybePromise<void> {
    return this.storage.close();
  }

  allocatedSize(): MaybePromise<number | undefined> {
    return this.storage.allocatedSize?.();
  }

  layerStatus(offset: number, length: number): MaybePromise<LayerStatus> {
    const status = this.storage.blockStatus?.(offset, length) ?? { length, zero: false };
    return chain(status, ({ length: covered, zero }) => ({
      length: covered,
      present: true,
      data: !zero,
      zero,
      compressed: false,
      hostOffset: offset,
      hostNode: this.nodeName,
    }));
  }
}

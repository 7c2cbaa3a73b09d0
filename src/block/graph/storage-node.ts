/** The node of an opened protocol: the bottom of every graph. Aligns requests and keeps count of the length. */
import { chain, isPromise, settle, start, startAsync, type Co, type MaybePromise } from '../co.ts';
import {
  NO_FLAGS,
  type BlockLimits,
  type OpenFlags,
  type ProtocolDriver,
  type RequestFlags,
  type Storage,
} from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockEvent } from '../events.ts';
import { AlignedIo, isAligned } from '../io/align.ts';
import { zeroBuffer } from '../io/buffers.ts';
import type { LayerStatus } from '../io/status.ts';
import { MAX_OFFSET, ZERO_BUFFER_BYTES } from '../limits.ts';
import { BlockNode, type GraphClock } from './node.ts';

export class StorageNode extends BlockNode {
  readonly storage: Storage;
  readonly #filename: string;
  readonly limits: BlockLimits;
  readonly synchronous: boolean;
  readonly isFilter = false;
  readonly below = undefined;
  readonly #blocks: AlignedIo;
  /** The storage takes requests of any shape. */
  readonly #direct: boolean;
  #length: number;
  /** Counts what a flush would have to make stable. */
  #writes = 0;
  #flushedWrites = 0;
  #flushing: Promise<void> | undefined;
  readonly #noFlush: boolean;

  /**
   * @param length what `storage.getLength()` says, in bytes
   * @param flags whether flushes are left out
   */
  constructor(
    nodeName: string,
    driver: ProtocolDriver,
    clock: GraphClock,
    storage: Storage,
    filename: string,
    length: number,
    { noFlush = false }: OpenFlags,
  ) {
    super(nodeName, driver, clock);
    this.storage = storage;
    this.#noFlush = noFlush;
    this.#filename = filename;
    this.limits = storage.limits;
    this.#direct = storage.limits.requestAlignment === 1 && storage.limits.transferMax === 0;
    this.synchronous = storage.synchronous;
    this.#length = length;
    const io = {
      read: (at: number, buffer: Uint8Array) => storage.read(at, buffer),
      write: (at: number, data: Uint8Array) => storage.write(at, data),
      event: (name: BlockEvent) => this.requestEvent(name),
    };
    this.#blocks = new AlignedIo(io, this.tracker, storage.limits);
  }

  /** The name that people know the file by. */
  override get filename(): string {
    return this.#filename;
  }

  get length(): number {
    return this.#length;
  }

  get readOnly(): boolean {
    return this.storage.readOnly;
  }

  protected performRead(offset: number, buffer: Uint8Array): MaybePromise<void> {
    if (buffer.length === 0) return;
    return this.#direct ? this.storage.read(offset, buffer) : this.#blocks.read(offset, buffer, NO_FLAGS);
  }

  protected performWrite(offset: number, data: Uint8Array): MaybePromise<void> {
    if (data.length === 0) return;
    if (offset + data.length > MAX_OFFSET) throw new BlockError('invalid', 'The write ends at or above 2^53');
    const written = this.#direct ? this.#writeDirect(offset, data) : this.#blocks.write(offset, data, NO_FLAGS);
    const end = offset + data.length;
    if (isPromise(written)) return written.then(() => this.#afterWrite(end));
    this.#afterWrite(end);
  }

  #writeDirect(offset: number, data: Uint8Array): MaybePromise<void> {
    this.requestEvent('pwritev');
    return this.storage.write(offset, data);
  }

  #afterWrite(end: number): void {
    this.#writes++;
    if (end > this.#length) this.#length = end;
  }

  protected performWriteZeroes(offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    return start(this.#writeZeroes(offset, length, flags));
  }

  *#writeZeroes(offset: number, length: number, flags: RequestFlags): Co<void> {
    const { storage } = this;
    const aligned = isAligned(offset, length, Math.max(this.limits.requestAlignment, this.limits.writeZeroesAlignment));
    if (storage.writeZeroes !== undefined && aligned) {
      const zero = (): MaybePromise<void> => storage.writeZeroes!(offset, length, flags.mayUnmap === true);
      this.requestEvent('pwritev_zero');
      yield* settle(this.#blocks.beside(offset, length, zero));
      this.#afterWrite(offset + length);
      return;
    }
    if (flags.noFallback === true) {
      throw new BlockError('unsupported', 'The storage cannot make zeroes without writing them');
    }
    for (let done = 0; done < length;) {
      const part = Math.min(length - done, ZERO_BUFFER_BYTES);
      yield* settle(this.performWrite(offset + done, zeroBuffer(part)));
      done += part;
    }
  }

  protected performDiscard(offset: number, length: number): MaybePromise<void> {
    const end = Math.min(offset + length, this.#length);
    if (this.storage.discard === undefined || end <= offset) return;
    const { requestAlignment, discardAlignment } = this.limits;
    if (!isAligned(offset, end - offset, Math.max(requestAlignment, discardAlignment))) return;
    this.#writes++;
    const { storage } = this;
    return this.#blocks.beside(offset, end - offset, () => storage.discard!(offset, end - offset));
  }

  protected performFlush(): MaybePromise<void> {
    if (this.#noFlush) return;
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

/** The node of a filter: passes requests on to its child, changed, delayed or counted by the driver, never what is read. */
import { chain, settle, start, type Co, type MaybePromise } from '../co.ts';
import type { BlockLimits, Filter, FilterDriver, FilterLimits, Preallocation, RequestFlags } from '../driver.ts';
import type { BlockEvent } from '../events.ts';
import { AlignedIo } from '../io/align.ts';
import { zeroBuffer } from '../io/buffers.ts';
import type { LayerStatus } from '../io/status.ts';
import { ZERO_BUFFER_BYTES } from '../limits.ts';
import type { Child } from './child.ts';
import { BlockNode, type GraphClock } from './node.ts';

export class FilterNode extends BlockNode {
  readonly filter: Filter;
  readonly readOnly: boolean;
  readonly isFilter = true;
  /** The child that requests are passed on to. */
  readonly #file: Child;
  /** Where the filter has limits of its own. */
  readonly #aligned: AlignedIo | undefined;

  constructor(
    nodeName: string,
    driver: FilterDriver,
    clock: GraphClock,
    filter: Filter,
    file: Child,
    readOnly: boolean,
  ) {
    super(nodeName, driver, clock);
    this.filter = filter;
    this.readOnly = readOnly;
    this.#file = file;
    if (filter.limits === undefined) return;
    const io = {
      read: (offset: number, buffer: Uint8Array, flags: RequestFlags) => this.#pass(offset, buffer, flags),
      write: (offset: number, data: Uint8Array, flags: RequestFlags) => this.#passWrite(offset, data, flags),
      event: (name: BlockEvent) => this.requestEvent(name),
    };
    this.#aligned = new AlignedIo(io, this.tracker, filter.limits);
  }

  get length(): number {
    return this.filter.length?.(this.#file) ?? this.#file.length;
  }

  get limits(): BlockLimits {
    return this.filter.limits ?? this.#file.node.limits;
  }

  /** A filter that may hold requests back is not promised to answer without waiting. */
  get synchronous(): boolean {
    if (this.filter.synchronous !== true) return false;
    for (const child of this.children.values()) if (!child.synchronous) return false;
    return true;
  }

  get below(): BlockNode {
    return this.#file.node;
  }

  protected performRead(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (buffer.length === 0 || this.#aligned === undefined) return this.#pass(offset, buffer, flags);
    return this.#aligned.read(offset, buffer, flags);
  }

  protected performWrite(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (data.length > 0 && this.#aligned !== undefined) return this.#aligned.write(offset, data, flags);
    this.requestEvent('pwritev');
    return this.#passWrite(offset, data, flags);
  }

  #pass(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.filter.read === undefined
      ? this.#file.read(offset, buffer, flags)
      : this.filter.read(this.#file, offset, buffer, flags);
  }

  #passWrite(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.filter.write === undefined
      ? this.#file.write(offset, data, flags)
      : this.filter.write(this.#file, offset, data, flags);
  }

  protected performWriteZeroes(offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    if (length > 0 && this.#aligned !== undefined) {
      return start(this.#zeroPieces(this.#aligned, this.filter.limits!, offset, length, flags));
    }
    this.requestEvent('pwritev_zero');
    return this.#passZeroes(offset, length, flags);
  }

  #passZeroes(offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    return this.filter.writeZeroes === undefined
      ? this.#file.writeZeroes(offset, length, flags)
      : this.filter.writeZeroes(this.#file, offset, length, flags);
  }

  /** Whole pieces as write-zeroes requests, what is before and behind them as data. */
  *#zeroPieces(io: AlignedIo, limits: FilterLimits, offset: number, length: number, flags: RequestFlags): Co<void> {
    const unit = Math.max(limits.requestAlignment, limits.writeZeroesAlignment);
    const end = offset + length;
    for (let at = offset; at < end;) {
      const whole = pieceLength(at, end, unit, limits.writeZeroesMax);
      if (whole > 0) {
        this.requestEvent('pwritev_zero');
        yield* settle(io.beside(at, whole, () => this.#passZeroes(at, whole, flags)));
        at += whole;
      } else {
        const data = Math.min(end, at - (at % unit) + unit, at + ZERO_BUFFER_BYTES) - at;
        yield* settle(io.write(at, zeroBuffer(data), flags));
        at += data;
      }
    }
  }

  protected performDiscard(offset: number, length: number): MaybePromise<void> {
    if (this.#aligned === undefined) return this.#passDiscard(offset, length);
    return start(this.#discardPieces(this.#aligned, this.filter.limits!, offset, length));
  }

  #passDiscard(offset: number, length: number): MaybePromise<void> {
    return this.filter.discard === undefined
      ? this.#file.discard(offset, length)
      : this.filter.discard(this.#file, offset, length);
  }

  /** A discard is a hint: what is no whole piece is left as it is. */
  *#discardPieces(io: AlignedIo, limits: FilterLimits, offset: number, length: number): Co<void> {
    const unit = Math.max(limits.requestAlignment, limits.discardAlignment);
    const end = offset + length;
    let at = offset + ((unit - (offset % unit)) % unit);
    for (let whole; at < end && (whole = pieceLength(at, end, unit, limits.discardMax)) > 0; at += whole) {
      const [from, count] = [at, whole];
      yield* settle(io.beside(from, count, () => this.#passDiscard(from, count)));
    }
  }

  protected performFlush(): MaybePromise<void> {
    this.#file.event('flush_to_os');
    this.#file.event('flush_to_disk');
    return this.filter.flush === undefined ? this.#file.flush() : this.filter.flush(this.#file);
  }

  protected performTruncate(length: number, preallocation: Preallocation): MaybePromise<void> {
    return this.filter.truncate === undefined
      ? this.#file.truncate(length, preallocation)
      : this.filter.truncate(this.#file, length);
  }

  protected performClose(): MaybePromise<void> {
    return this.filter.close?.(this.#file);
  }

  allocatedSize(): MaybePromise<number | undefined> {
    return this.#file.allocatedSize();
  }

  override event(name: BlockEvent): void {
    super.event(name);
    this.filter.event?.(name);
    this.#file.event(name);
  }

  override requestEvent(name: BlockEvent): void {
    super.requestEvent(name);
    this.filter.event?.(name);
  }

  override drainBegin(): void {
    this.filter.drainBegin?.();
    super.drainBegin();
  }

  override drainEnd(): void {
    super.drainEnd();
    this.filter.drainEnd?.();
  }

  /** A filter holds nothing of its own: the layer below answers. */
  layerStatus(offset: number, length: number): MaybePromise<LayerStatus> {
    return chain(this.filter.beforeStatus?.(offset, length), () => ({
      length,
      present: false,
      data: false,
      zero: false,
      compressed: false,
    }));
  }
}

/** Bytes of whole units from a place on, at most `longest` (0: no limit); 0 when the place is not at the start of one. */
function pieceLength(at: number, end: number, unit: number, longest: number): number {
  if (at % unit !== 0) return 0;
  const limit = longest === 0 ? end - at : Math.min(end - at, Math.max(unit, longest - (longest % unit)));
  return limit - (limit % unit);
}

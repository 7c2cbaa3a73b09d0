/** The node of a filter: passes requests on to its child, changed, delayed or counted by the driver, never what is read. */
import { chain, type MaybePromise } from '../co.ts';
import type { BlockLimits, Filter, FilterDriver, RequestFlags } from '../driver.ts';
import type { LayerStatus } from '../io/status.ts';
import type { Child } from './child.ts';
import { BlockNode, type GraphClock } from './node.ts';

export class FilterNode extends BlockNode {
  readonly filter: Filter;
  readonly readOnly: boolean;
  readonly isFilter = true;
  readonly #file: Child;

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
  }

  get length(): number {
    return this.#file.length;
  }

  get limits(): BlockLimits {
    return this.filter.limits ?? this.#file.node.limits;
  }

  /** A filter may hold requests back, so a graph with one is not promised to answer without waiting. */
  get synchronous(): boolean {
    return false;
  }

  get below(): BlockNode {
    return this.#file.node;
  }

  protected performRead(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.filter.read === undefined
      ? this.#file.read(offset, buffer, flags)
      : this.filter.read(this.#file, offset, buffer, flags);
  }

  protected performWrite(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.filter.write === undefined
      ? this.#file.write(offset, data, flags)
      : this.filter.write(this.#file, offset, data, flags);
  }

  protected performWriteZeroes(offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    return this.filter.writeZeroes === undefined
      ? this.#file.writeZeroes(offset, length, flags)
      : this.filter.writeZeroes(this.#file, offset, length, flags);
  }

  protected performDiscard(offset: number, length: number): MaybePromise<void> {
    return this.filter.discard === undefined
      ? this.#file.discard(offset, length)
      : this.filter.discard(this.#file, offset, length);
  }

  protected performFlush(): MaybePromise<void> {
    return this.filter.flush === undefined ? this.#file.flush() : this.filter.flush(this.#file);
  }

  protected performTruncate(length: number): MaybePromise<void> {
    return this.#file.truncate(length);
  }

  protected performClose(): MaybePromise<void> {
    return this.filter.close?.();
  }

  allocatedSize(): MaybePromise<number | undefined> {
    return this.#file.allocatedSize();
  }

  override event(name: string): void {
    super.event(name);
    this.filter.event?.(name);
    this.#file.event(name);
  }

  /** A filter holds nothing of its own: the layer below answers. */
  layerStatus(_offset: number, length: number): MaybePromise<LayerStatus> {
    return chain(length, (covered) => ({
      length: covered,
      present: false,
      data: false,
      zero: false,
      compressed: false,
    }));
  }
}

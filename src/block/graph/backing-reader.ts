/**
 * Reads what an image does not hold itself from the chain below it, however deep.
 *
 * Where the chain below is read-only it cannot change, so the place that a range resolves to is remembered: the next read of it
 * goes straight there, past all layers between. A change of the graph makes all that is remembered void.
 */
import { isPromise, settle, start, type Co, type MaybePromise } from '../co.ts';
import type { Child } from './child.ts';
import type { BlockNode } from './node.ts';

/** Ranges are remembered by the granule they lie in; this many of them at most: half a megabyte of memory, 1 GiB of a usual image. */
const MAX_SLOTS = 16_384;

/** A granule is as large as the smallest cluster of the chain, within these limits: one place holds all of it. */
const SMALLEST_GRANULE = 4096;
const LARGEST_GRANULE = 1024 * 1024;

/** Where a range of the chain is. `child` undefined: it reads as zero. */
interface Resolved {
  readonly child: Child | undefined;
  readonly hostOffset: number;
  readonly length: number;
}

export class BackingReader {
  readonly #owner: BlockNode;
  #generation = -1;
  #granule = LARGEST_GRANULE;
  #slots = 1;
  #starts = new Float64Array(0);
  #ends = new Float64Array(0);
  #hostOffsets = new Float64Array(0);
  #children: (Child | undefined)[] = [];

  constructor(owner: BlockNode) {
    this.#owner = owner;
  }

  /** Fills the buffer from the chain below the owner; zeroes where there is none, and past its end. */
  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const slot = this.#find(offset);
    if (slot < 0 || offset + buffer.length > this.#ends[slot]!) return start(this.#readAndRemember(offset, buffer));
    const child = this.#children[slot];
    if (child !== undefined) return child.node.read(this.#hostOffsets[slot]! + (offset - this.#starts[slot]!), buffer);
    buffer.fill(0);
  }

  *#readAndRemember(offset: number, buffer: Uint8Array): Co<void> {
    if (!this.#owner.children.has('backing')) {
      buffer.fill(0);
      return;
    }
    if (this.#generation !== this.#owner.clock.generation) this.#forget();
    for (let done = 0; done < buffer.length;) {
      const position = offset + done;
      const found = this.#remembered(position) ?? (yield* this.#resolveAround(position, buffer.length - done));
      const part = buffer.subarray(done, done + Math.min(found.length, buffer.length - done));
      if (found.child === undefined) part.fill(0);
      else {
        const reading = found.child.node.read(found.hostOffset, part);
        if (isPromise(reading)) yield reading;
      }
      done += part.length;
    }
  }

  /** The slot that knows where an offset is, or -1. */
  #find(offset: number): number {
    if (this.#generation !== this.#owner.clock.generation) return -1;
    const slot = this.#slotOf(offset);
    return offset >= this.#starts[slot]! && offset < this.#ends[slot]! ? slot : -1;
  }

  #remembered(position: number): Resolved | undefined {
    const slot = this.#find(position);
    if (slot < 0) return undefined;
    const hostOffset = this.#hostOffsets[slot]! + (position - this.#starts[slot]!);
    return { child: this.#children[slot], hostOffset, length: this.#ends[slot]! - position };
  }

  /** Resolves the whole granule around a position, if one place holds it, so that the next read in it is known too. */
  *#resolveAround(position: number, length: number): Co<Resolved> {
    const { generation } = this.#owner.clock;
    const granule = this.#granule;
    const granuleStart = position - (position % granule);
    const around = yield* this.#resolve(granuleStart, Math.max(granule, position + length - granuleStart));
    if (granuleStart + around.length > position) {
      this.#remember(granuleStart, around, generation);
      const skipped = position - granuleStart;
      return { child: around.child, hostOffset: around.hostOffset + skipped, length: around.length - skipped };
    }
    const found = yield* this.#resolve(position, Math.max(length, granuleStart + granule - position));
    this.#remember(position, found, generation);
    return found;
  }

  /** Walks down from the backing file as long as layers are read-only, to where the start of the range is. */
  *#resolve(offset: number, length: number): Co<Resolved> {
    let child = this.#owner.children.get('backing');
    let position = offset;
    let remaining = length;
    while (child !== undefined) {
      const { node }: Child = child;
      const image = node.frozenImage;
      if (image !== undefined || child.roles.has('cow')) {
        if (position >= node.length) return { child: undefined, hostOffset: 0, length: remaining };
        remaining = Math.min(remaining, node.length - position);
      }
      if (image === undefined) return { child, hostOffset: position, length: remaining };
      const extent = yield* settle(image.map(position, remaining));
      remaining = extent.length;
      if (extent.kind === 'zero') return { child: undefined, hostOffset: 0, length: remaining };
      const isOpaque = extent.kind === 'encoded' || (extent.kind === 'data' && extent.child.opaque === true);
      if (isOpaque) return { child, hostOffset: position, length: remaining };
      if (extent.kind === 'data') {
        child = node.childFor(extent.child);
        position = extent.hostOffset;
      } else {
        child = node.children.get('backing');
      }
    }
    return { child: undefined, hostOffset: 0, length: remaining };
  }

  /** @param generation of the graph when the resolving began: what changed meanwhile may not be remembered */
  #remember(offset: number, found: Resolved, generation: number): void {
    if (generation !== this.#generation || generation !== this.#owner.clock.generation) return;
    const slot = this.#slotOf(offset);
    this.#starts[slot] = offset;
    // A longer range is found through its first granule only; the others find it when they are asked.
    this.#ends[slot] = offset + found.length;
    this.#hostOffsets[slot] = found.hostOffset;
    this.#children[slot] = found.child;
  }

  /** The graph has changed: begins anew, with granules that suit the chain as it is now. */
  #forget(): void {
    this.#granule = granuleBelow(this.#owner);
    // No more than the disk has granules: the memory of a small one is made anew in no time.
    this.#slots = Math.max(1, Math.min(MAX_SLOTS, Math.ceil(this.#owner.length / this.#granule)));
    this.#starts = new Float64Array(this.#slots).fill(Number.POSITIVE_INFINITY);
    this.#ends = new Float64Array(this.#slots);
    this.#hostOffsets = new Float64Array(this.#slots);
    this.#children = Array.from<Child | undefined>({ length: this.#slots });
    this.#generation = this.#owner.clock.generation;
  }

  /** Without `%`: the remainder of numbers above 2^31 costs more than all else that a remembered read does here. */
  #slotOf(offset: number): number {
    const granule = Math.floor(offset / this.#granule);
    return granule - Math.floor(granule / this.#slots) * this.#slots;
  }
}

function granuleBelow(owner: BlockNode): number {
  let smallest = LARGEST_GRANULE;
  for (let node = owner.below; node !== undefined; node = node.below) {
    const unit = node.frozenImage?.allocationUnit ?? 1;
    // 1: the layer has no clusters, it is all in one place.
    if (unit > 1) smallest = Math.min(smallest, unit);
  }
  return Math.max(smallest, SMALLEST_GRANULE);
}

/**
 * Reads what an image does not hold itself from the chain below it, however deep.
 *
 * Where the chain below is read-only it cannot change, so the place that a range resolves to is remembered: the next read of it
 * goes straight there, past all layers between. A change of the graph makes all that is remembered void.
 */
import { isPromise, settle, start, type Co, type MaybePromise } from '../co.ts';
import type { Child } from './child.ts';
import type { BlockNode } from './node.ts';

/** Ranges are remembered by the 64 KiB they lie in; this many of them. */
const GRANULE = 65_536;
const SLOTS = 4096;

/** Where a range of the chain is. `child` undefined: it reads as zero. */
interface Resolved {
  readonly child: Child | undefined;
  readonly hostOffset: number;
  readonly length: number;
}

export class BackingReader {
  readonly #owner: BlockNode;
  #generation = -1;
  #starts = new Float64Array(0);
  #ends = new Float64Array(0);
  #hostOffsets = new Float64Array(0);
  #children: (Child | undefined)[] = [];

  constructor(owner: BlockNode) {
    this.#owner = owner;
  }

  /** Fills the buffer from the chain below the owner; zeroes where there is none, and past its end. */
  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const slot = Math.floor(offset / GRANULE) % SLOTS;
    if (this.#generation === this.#owner.clock.generation) {
      const from = this.#starts[slot]!;
      if (offset >= from && offset + buffer.length <= this.#ends[slot]!) {
        const child = this.#children[slot];
        if (child !== undefined) return child.node.read(this.#hostOffsets[slot]! + (offset - from), buffer);
        buffer.fill(0);
        return;
      }
    }
    return start(this.#readAndRemember(offset, buffer));
  }

  *#readAndRemember(offset: number, buffer: Uint8Array): Co<void> {
    for (let done = 0; done < buffer.length;) {
      const position = offset + done;
      const found = yield* this.#resolveAround(position, buffer.length - done);
      const part = buffer.subarray(done, done + Math.min(found.length, buffer.length - done));
      if (found.child === undefined) part.fill(0);
      else {
        const reading = found.child.node.read(found.hostOffset, part);
        if (isPromise(reading)) yield reading;
      }
      done += part.length;
    }
  }

  /** Resolves the whole granule around a position, if one place holds it, so that the next read in it is known too. */
  *#resolveAround(position: number, length: number): Co<Resolved> {
    const { generation } = this.#owner.clock;
    const granuleStart = position - (position % GRANULE);
    const around = yield* this.#resolve(granuleStart, Math.max(GRANULE, position + length - granuleStart));
    if (granuleStart + around.length > position) {
      this.#remember(granuleStart, around, generation);
      const skipped = position - granuleStart;
      return { child: around.child, hostOffset: around.hostOffset + skipped, length: around.length - skipped };
    }
    const found = yield* this.#resolve(position, Math.max(length, granuleStart + GRANULE - position));
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
      if (extent.kind === 'encoded') return { child, hostOffset: position, length: remaining };
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
    if (generation !== this.#owner.clock.generation) return;
    if (this.#generation !== generation) {
      this.#starts = new Float64Array(SLOTS).fill(Number.POSITIVE_INFINITY);
      this.#ends = new Float64Array(SLOTS);
      this.#hostOffsets = new Float64Array(SLOTS);
      this.#children = Array.from<Child | undefined>({ length: SLOTS });
      this.#generation = generation;
    }
    const slot = Math.floor(offset / GRANULE) % SLOTS;
    this.#starts[slot] = offset;
    // A longer range is found through its first granule only; the others find it when they are asked.
    this.#ends[slot] = offset + found.length;
    this.#hostOffsets[slot] = found.hostOffset;
    this.#children[slot] = found.child;
  }
}

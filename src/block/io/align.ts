/** Requests of any offset and length over something that takes only whole blocks, and none above a certain length. */
import { isPromise, settle, start, type Co, type MaybePromise } from '../co.ts';
import type { RequestFlags } from '../driver.ts';
import type { BlockEvent } from '../events.ts';
import { requestBuffers } from './buffers.ts';
import type { RequestTracker } from './tracked.ts';
import { roundUp } from '../../binary/round-up.ts';

/** Reads and writes in whole blocks. */
export interface BlockIo {
  read(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void>;
  write(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void>;
  /** A write is at a named point: one of `pwritev` and `pwritev_rmw_…`. */
  event?(name: BlockEvent): void;
}

export function isAligned(offset: number, length: number, alignment: number): boolean {
  return alignment === 1 || (offset % alignment === 0 && length % alignment === 0);
}

/** Makes requests of any shape into requests that obey limits. QEMU: bdrv_co_preadv, bdrv_co_pwritev. */
export class AlignedIo {
  readonly #io: BlockIo;
  readonly #tracker: RequestTracker;
  readonly #alignment: number;
  readonly #longest: number;

  /** @param limits the alignment is a power of two; a longest transfer of 0 means none, else it is a multiple of the alignment */
  constructor(
    io: BlockIo,
    tracker: RequestTracker,
    limits: { readonly requestAlignment: number; readonly transferMax: number },
  ) {
    this.#io = io;
    this.#tracker = tracker;
    this.#alignment = limits.requestAlignment;
    this.#longest = limits.transferMax;
  }

  read(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (isAligned(offset, buffer.length, this.#alignment)) return this.#readBlocks(offset, buffer, flags);
    return start(this.#readUnaligned(offset, buffer, flags));
  }

  write(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (!isAligned(offset, data.length, this.#alignment)) return start(this.#writeUnaligned(offset, data, flags));
    return this.beside(offset, data.length, () => this.#writeBlocks(offset, data, flags));
  }

  /**
   * Changes whole blocks, but not while an unaligned write has read one of them and not written it back yet: what is changed here
   * would be lost.
   */
  beside(offset: number, length: number, change: () => MaybePromise<void>): MaybePromise<void> {
    if (this.#alignment === 1) return change();
    if (this.#tracker.serialising > 0) return start(this.#afterOverlapping(offset, length, change));
    const changing = change();
    return isPromise(changing) ? this.#tracker.track('write', offset, length, changing) : changing;
  }

  *#afterOverlapping(offset: number, length: number, change: () => MaybePromise<void>): Co<void> {
    const request = this.#tracker.begin('write', offset, length);
    try {
      yield* this.#tracker.waitForOverlapping(request);
      yield* settle(change());
    } finally {
      this.#tracker.end(request);
    }
  }

  #readBlocks(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (this.#fits(buffer.length)) return this.#io.read(offset, buffer, flags);
    return start(this.#inPieces(buffer, (at, part) => this.#io.read(offset + at, part, flags)));
  }

  #writeBlocks(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    this.#io.event?.('pwritev');
    if (this.#fits(data.length)) return this.#io.write(offset, data, flags);
    return start(this.#inPieces(data, (at, part) => this.#io.write(offset + at, part, flags)));
  }

  #fits(length: number): boolean {
    return this.#longest === 0 || length <= this.#longest;
  }

  *#inPieces(bytes: Uint8Array, transfer: (at: number, part: Uint8Array) => MaybePromise<void>): Co<void> {
    for (let at = 0; at < bytes.length; at += this.#longest) {
      yield* settle(transfer(at, bytes.subarray(at, at + this.#longest)));
    }
  }

  /** Reads the whole blocks around a range and copies the range out. */
  *#readUnaligned(offset: number, buffer: Uint8Array, flags: RequestFlags): Co<void> {
    const before = offset % this.#alignment;
    const blocks = requestBuffers.acquire(roundUp(before + buffer.length, this.#alignment));
    try {
      yield* settle(this.#readBlocks(offset - before, blocks, flags));
      buffer.set(blocks.subarray(before, before + buffer.length));
    } finally {
      requestBuffers.release(blocks);
    }
  }

  /** Reads the blocks at both ends, puts the data between, and writes whole blocks, with the range to itself. */
  *#writeUnaligned(offset: number, data: Uint8Array, flags: RequestFlags): Co<void> {
    const before = offset % this.#alignment;
    const length = roundUp(before + data.length, this.#alignment);
    const request = this.#tracker.begin('write', offset, data.length);
    const blocks = requestBuffers.acquire(length);
    try {
      yield* this.#tracker.makeSerialising(request, this.#alignment);
      yield* this.#readEdges(offset - before, blocks, { head: before > 0, tail: before + data.length < length });
      blocks.set(data, before);
      yield* settle(this.#writeBlocks(offset - before, blocks, flags));
    } finally {
      requestBuffers.release(blocks);
      this.#tracker.end(request);
    }
  }

  /** Reads the first and the last block, those that are not written over whole. A block that is both is read once. */
  *#readEdges(offset: number, blocks: Uint8Array, edges: { readonly head: boolean; readonly tail: boolean }): Co<void> {
    const last = blocks.length - this.#alignment;
    const { head, tail } = edges;
    const both = head && tail && last === 0;
    if (head) {
      this.#io.event?.('pwritev_rmw_head');
      if (both) this.#io.event?.('pwritev_rmw_tail');
      yield* settle(this.#io.read(offset, blocks.subarray(0, this.#alignment), {}));
      this.#io.event?.('pwritev_rmw_after_head');
      if (both) this.#io.event?.('pwritev_rmw_after_tail');
    }
    if (!tail || both) return;
    this.#io.event?.('pwritev_rmw_tail');
    yield* settle(this.#io.read(offset + last, blocks.subarray(last), {}));
    this.#io.event?.('pwritev_rmw_after_tail');
  }
}

/** Bytes of whole units from `position`: 0 when it is not at the start of one. The last unit of the disk may be a part. */
export function wholeUnits(unit: number, position: number, end: number, virtualSize: number): number {
  if (position % unit !== 0) return 0;
  return end === virtualSize ? end - position : end - position - ((end - position) % unit);
}

/** Whether two disks read alike. */
import { settle, type Co } from '../co.ts';
import type { Progress } from '../driver.ts';
import { withContext } from '../error.ts';
import type { BlockStatus } from '../extent.ts';
import type { BlockNode } from '../graph/node.ts';
import { firstDifference, isZero, requestBuffers } from '../io/buffers.ts';
import { blockStatus } from '../io/status.ts';
import { SECTOR_SIZE } from '../limits.ts';
import { TimeSlice } from '../time-slice.ts';

/** Data is compared in pieces of this many bytes. */
const PIECE_BYTES = 1024 * 1024;

export interface CompareSettings {
  /** Sizes must be the same, and so must be what is allocated and what is zero. */
  readonly strict?: boolean;
  readonly progress?: Progress | undefined;
  /** Told when the sizes differ and all that both have is the same: what the longer disk has more must be zero then. */
  readonly onSizeMismatch?: () => void;
}

/** What differs first; `offset` is that of the sector, in bytes. */
export type CompareResult =
  | { readonly equal: true }
  | { readonly equal: false; readonly difference: 'size' }
  | { readonly equal: false; readonly difference: 'status' | 'content'; readonly offset: number };

const EQUAL: CompareResult = { equal: true };

/**
 * Compares two disks by what a guest would read. What is zero or not allocated on both sides is not read.
 *
 * @throws BlockError what a read reports, with `detail.image` 0 or 1 for the disk that failed; `aborted` by the progress
 */
export function* compareImages(first: BlockNode, second: BlockNode, settings: CompareSettings = {}): Co<CompareResult> {
  if (settings.strict === true && first.length !== second.length) return { equal: false, difference: 'size' };
  const comparison = new Comparison([first, second], settings);
  const both = yield* comparison.run();
  if (!both.equal || first.length === second.length) return both;
  settings.onSizeMismatch?.();
  return yield* comparison.runRest();
}

class Comparison {
  readonly #nodes: readonly [BlockNode, BlockNode];
  readonly #settings: CompareSettings;
  readonly #common: number;
  readonly #whole: number;
  readonly #slice = new TimeSlice();

  constructor(nodes: readonly [BlockNode, BlockNode], settings: CompareSettings) {
    this.#nodes = nodes;
    this.#settings = settings;
    this.#common = Math.min(nodes[0].length, nodes[1].length);
    this.#whole = Math.max(nodes[0].length, nodes[1].length);
  }

  *run(): Co<CompareResult> {
    const known: (BlockStatus | undefined)[] = [undefined, undefined];
    for (let offset = 0; offset < this.#common;) {
      const one = (known[0] = yield* this.#status(0, offset, known[0]));
      const two = (known[1] = yield* this.#status(1, offset, known[1]));
      const left = Math.min(one.offset + one.length, two.offset + two.length, this.#common) - offset;
      if (this.#settings.strict === true && !sameStatus(one, two)) {
        return { equal: false, difference: 'status', offset };
      }
      const { result, done } = yield* this.#compareAt(offset, left, one, two);
      if (!result.equal) return result;
      offset += done;
      this.#settings.progress?.report(offset, this.#whole);
      yield* this.#slice.pause();
    }
    return EQUAL;
  }

  /** What the longer disk has beyond the end of the other. */
  *runRest(): Co<CompareResult> {
    const longer = this.#nodes[0].length > this.#common ? 0 : 1;
    for (let offset = this.#common; offset < this.#whole;) {
      const status = yield* this.#status(longer, offset, undefined);
      const reads = status.present && !status.zero;
      const length = reads ? Math.min(status.length, PIECE_BYTES) : status.length;
      if (reads) {
        const result = yield* this.#expectZero(longer, offset, length);
        if (!result.equal) return result;
      }
      offset += length;
      this.#settings.progress?.report(offset, this.#whole);
      yield* this.#slice.pause();
    }
    return EQUAL;
  }

  /** A status covers more than the other one's does: it is kept as long as it lasts. */
  *#status(index: 0 | 1, offset: number, known: BlockStatus | undefined): Co<BlockStatus> {
    if (known !== undefined && this.#settings.strict !== true && offset < known.offset + known.length) return known;
    const node = this.#nodes[index];
    try {
      return yield* blockStatus(node, offset, node.length - offset);
    } catch (error) {
      throw ofImage(error, index, 'map', offset);
    }
  }

  *#compareAt(
    offset: number,
    left: number,
    one: BlockStatus,
    two: BlockStatus,
  ): Co<{ readonly result: CompareResult; readonly done: number }> {
    if ((one.zero && two.zero) || (!one.present && !two.present)) return { result: EQUAL, done: left };
    const length = Math.min(left, PIECE_BYTES);
    if (one.present && two.present && !one.zero && !two.zero) {
      return { result: yield* this.#compareData(offset, length), done: length };
    }
    return { result: yield* this.#expectZero(one.present && !one.zero ? 0 : 1, offset, length), done: length };
  }

  *#compareData(offset: number, length: number): Co<CompareResult> {
    const buffers = [requestBuffers.acquire(length), requestBuffers.acquire(length)] as const;
    try {
      yield* this.#read(0, offset, buffers[0]);
      yield* this.#read(1, offset, buffers[1]);
      const at = firstDifference(buffers[0], buffers[1]);
      return at < 0 ? EQUAL : { equal: false, difference: 'content', offset: sectorOf(offset + at) };
    } finally {
      buffers.forEach((buffer) => requestBuffers.release(buffer));
    }
  }

  *#expectZero(index: 0 | 1, offset: number, length: number): Co<CompareResult> {
    const buffer = requestBuffers.acquire(length);
    try {
      yield* this.#read(index, offset, buffer);
      if (isZero(buffer)) return EQUAL;
      const at = buffer.findIndex((byte) => byte !== 0);
      return { equal: false, difference: 'content', offset: sectorOf(offset + at) };
    } finally {
      requestBuffers.release(buffer);
    }
  }

  *#read(index: 0 | 1, offset: number, buffer: Uint8Array): Co<void> {
    try {
      yield* settle(this.#nodes[index].read(offset, buffer));
    } catch (error) {
      throw ofImage(error, index, 'read', offset);
    }
  }
}

function ofImage(error: unknown, image: 0 | 1, op: string, offset: number) {
  const known = withContext(error, {});
  known.context = { ...known.context, detail: { ...known.context.detail, image, op, offset } };
  return known;
}

function sectorOf(offset: number): number {
  return offset - (offset % SECTOR_SIZE);
}

function sameStatus(one: BlockStatus, two: BlockStatus): boolean {
  return (
    one.present === two.present &&
    one.data === two.data &&
    one.zero === two.zero &&
    (one.hostOffset === undefined) === (two.hostOffset === undefined)
  );
}

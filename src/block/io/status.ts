/** What guest ranges are, resolved through a whole chain: `map`, convert, export and every job read this. */
import { settle, type Co, type MaybePromise } from '../co.ts';
import type { BlockStatus } from '../extent.ts';

/** What one layer knows of a range. `present: false` means that the layer below answers. */
export interface LayerStatus {
  readonly length: number;
  readonly present: boolean;
  readonly data: boolean;
  readonly zero: boolean;
  readonly compressed: boolean;
  readonly hostOffset?: number;
  readonly hostNode?: string;
}

/** A node as the status loop sees it. */
export interface StatusLayer {
  readonly nodeName: string;
  readonly length: number;
  /** The layer that answers for what this one does not hold, or undefined. */
  readonly below: StatusLayer | undefined;
  /** Filters add no depth of their own. */
  readonly isFilter: boolean;
  layerStatus(offset: number, length: number): MaybePromise<LayerStatus>;
}

/**
 * Finds what the start of a guest range is.
 *
 * @param offset guest offset in `top`, below its length
 * @param length bytes that are of interest, at least 1
 * @param base layers from here downwards are not looked at: what only they hold is not `present`
 * @returns one status, covering at least 1 and at most `length` bytes
 */
export function* blockStatus(top: StatusLayer, offset: number, length: number, base?: StatusLayer): Co<BlockStatus> {
  let remaining = length;
  let depth = 0;
  let last = 0;
  let place: { hostOffset?: number } = {};
  for (let layer: StatusLayer | undefined = top; layer !== undefined && layer !== base; layer = layer.below) {
    // A backing file that is shorter than its overlay answers zero for the rest, as if it held it.
    if (offset >= layer.length) {
      const zero = { offset, length: remaining, data: false, zero: true, compressed: false };
      return layer === top ? { ...zero, depth, present: false } : { ...zero, depth, present: true, beyond: true };
    }
    const status = yield* settle(layer.layerStatus(offset, Math.min(remaining, layer.length - offset)));
    if (status.present) return { ...status, offset, depth };
    remaining = Math.min(remaining, status.length);
    last = depth;
    place = status.hostOffset === undefined ? {} : { hostOffset: status.hostOffset };
    if (!layer.isFilter) depth++;
  }
  return {
    offset,
    length: remaining,
    depth: base === undefined ? last : depth,
    present: false,
    data: false,
    zero: base === undefined,
    compressed: false,
    ...place,
  };
}

/** All statuses of a range, in order; neighbours that say the same are joined. */
export function* blockStatusList(
  top: StatusLayer,
  offset: number,
  length: number,
  base?: StatusLayer,
): Co<BlockStatus[]> {
  const list: BlockStatus[] = [];
  for (let position = offset; position < offset + length;) {
    const status = yield* blockStatus(top, position, offset + length - position, base);
    const last = list.at(-1);
    if (last !== undefined && continues(last, status))
      list[list.length - 1] = { ...last, length: last.length + status.length };
    else list.push(status);
    position += status.length;
  }
  return list;
}

/** Whether the second status goes on where the first ends, so that both can be told as one. */
export function continues(first: BlockStatus, second: BlockStatus): boolean {
  return (
    first.depth === second.depth &&
    first.present === second.present &&
    first.data === second.data &&
    first.zero === second.zero &&
    first.compressed === second.compressed &&
    first.beyond === second.beyond &&
    first.hostNode === second.hostNode &&
    (first.hostOffset === undefined
      ? second.hostOffset === undefined
      : second.hostOffset === first.hostOffset + first.length)
  );
}

/** Where the data of a disk is: the facts that `qemu-img map` prints. */
import type { Co } from '../co.ts';
import type { BlockStatus } from '../extent.ts';
import type { BlockNode } from '../graph/node.ts';
import { blockStatus, continues } from '../io/status.ts';
import { TimeSlice } from '../time-slice.ts';

/**
 * Walks the block status of a guest range. Neighbours that say the same are told as one.
 *
 * @param onStatus called for each extent in order, with the disk's guest offsets
 */
export function* imageMap(
  node: BlockNode,
  offset: number,
  length: number,
  onStatus: (status: BlockStatus) => void,
): Co<void> {
  const slice = new TimeSlice();
  let pending: BlockStatus | undefined;
  for (let position = offset; position < offset + length;) {
    const status = asShown(yield* blockStatus(node, position, offset + length - position));
    if (pending !== undefined && continues(pending, status)) {
      pending = { ...pending, length: pending.length + status.length };
    } else {
      if (pending !== undefined) onStatus(pending);
      pending = status;
    }
    position += status.length;
    yield* slice.pause();
  }
  if (pending !== undefined) onStatus(pending);
}

/** Of what lies past the end of a short backing file, QEMU says that it is the layer above that holds nothing there. */
function asShown(status: BlockStatus): BlockStatus {
  if (status.beyond !== true) return status;
  const { beyond: _, ...others } = status;
  return { ...others, depth: status.depth - 1, present: false };
}

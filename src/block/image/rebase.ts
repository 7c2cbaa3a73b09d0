/** Giving an image another backing file. */
import { settle, type Co } from '../co.ts';
import type { FileReference, Progress } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockBackend } from '../graph/backend.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';
import { firstDifference, requestBuffers } from '../io/buffers.ts';
import { blockStatus } from '../io/status.ts';
import { TimeSlice } from '../time-slice.ts';

/** What is compared at once, at least one cluster of the image. */
const PIECE_BYTES = 1024 * 1024;

/**
 * Copies into an image what its backing file shows now and the new one would not show, so that the disk stays the same when it stands
 * on the new one.
 *
 * @param disk the image, open for writing, on its present backing file
 * @param newBacking undefined: it is to stand on nothing
 * @throws BlockError what a read or the writing reports, `aborted`
 */
export function* copyForRebase(disk: BlockBackend, newBacking: BlockNode | undefined, progress?: Progress): Co<void> {
  const { node } = disk;
  const unit = node instanceof ImageNode ? node.image.allocationUnit : 1;
  const slice = new TimeSlice();
  for (let offset = 0; offset < node.length;) {
    const status = yield* settle(node.layerStatus(offset, node.length - offset));
    let { length } = status;
    if (!status.present) length = yield* copyPart(disk, newBacking, offset, length, unit);
    offset += length;
    progress?.report(offset, node.length);
    yield* slice.pause();
  }
}

/** @returns how many bytes from `offset` are done */
function* copyPart(
  disk: BlockBackend,
  newBacking: BlockNode | undefined,
  offset: number,
  length: number,
  unit: number,
): Co<number> {
  const old = yield* zeroRun(disk.node.below, offset, length);
  const next = yield* zeroRun(newBacking, offset, length);
  // Where both read as zero there is nothing to compare.
  if (old.zero && next.zero) return Math.min(old.length, next.length);
  const piece = Math.min(length, Math.max(unit, PIECE_BYTES) - (offset % Math.max(unit, PIECE_BYTES)));
  const buffers = [requestBuffers.acquire(piece), requestBuffers.acquire(piece)] as const;
  try {
    yield* readPadded(disk.node.below, offset, buffers[0]);
    yield* readPadded(newBacking, offset, buffers[1]);
    for (let at = 0; at < piece;) {
      const end = Math.min(piece, at + unit - ((offset + at) % unit));
      const mine = buffers[0].subarray(at, end);
      if (firstDifference(mine, buffers[1].subarray(at, end)) >= 0) yield* settle(disk.write(offset + at, mine));
      at = end;
    }
  } finally {
    buffers.forEach((buffer) => requestBuffers.release(buffer));
  }
  return piece;
}

/** Whether a chain reads as zero from `offset` on, and for how long. */
function* zeroRun(
  node: BlockNode | undefined,
  offset: number,
  length: number,
): Co<{ readonly zero: boolean; readonly length: number }> {
  if (node === undefined || offset >= node.length) return { zero: true, length };
  return yield* blockStatus(node, offset, Math.min(length, node.length - offset));
}

function* readPadded(node: BlockNode | undefined, offset: number, buffer: Uint8Array): Co<void> {
  const inside = node === undefined ? 0 : Math.max(0, Math.min(buffer.length, node.length - offset));
  if (inside > 0) yield* settle(node!.read(offset, buffer.subarray(0, inside)));
  buffer.fill(0, inside);
}

/**
 * Changes what the image says of its backing file, and nothing else: who calls knows that the disk stays the same, or has seen to it.
 *
 * @throws BlockError `unsupported` for formats that have no backing files, `permission`
 */
export function* setBackingFile(disk: BlockBackend, reference: FileReference | undefined): Co<void> {
  const { node } = disk;
  if (!(node instanceof ImageNode) || node.image.changeBackingFile === undefined) {
    throw new BlockError('unsupported', `The format '${node.driver.name}' has no backing files that could be changed`);
  }
  if (disk.readOnly) throw new BlockError('permission', `Node '${node.nodeName}' is read-only`);
  yield* settle(disk.flush());
  yield* settle(node.image.changeBackingFile(reference));
  yield* settle(disk.flush());
}

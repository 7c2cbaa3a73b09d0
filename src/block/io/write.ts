/** The write loop: one for all formats. */
import { isPromise, settle, start, withTasks, type Co, type MaybePromise } from '../co.ts';
import type { Allocation, RequestFlags } from '../driver.ts';
import { BlockError } from '../error.ts';
import { COPIED_EDGE_BYTES, JOINED_WRITE_BYTES, REQUEST_PARALLELISM } from '../limits.ts';
import { isZero, requestBuffers } from './buffers.ts';
import type { ImageLayer } from './layer.ts';
import { readImagePadded } from './read.ts';
import { writeCompressed } from './write-compressed.ts';
import type { TrackedRequest } from './tracked.ts';

/**
 * Writes guest bytes of an image: in place where the image has a place for them, else by allocating one.
 *
 * The range must lie inside the image. An allocating write has the clusters it touches to itself until the new mapping is
 * published: the data and the copied edges are written first, the mapping changes last.
 */
export function writeImage(
  layer: ImageLayer,
  offset: number,
  data: Uint8Array,
  flags: RequestFlags,
): MaybePromise<void> {
  if (layer.tracker.serialising === 0 && flags.compressed !== true) {
    const extent = layer.image.map(offset, data.length);
    // The tracked write asks again, joins the read of the table that is in flight, and reports for itself if that fails.
    if (isPromise(extent)) extent.catch(() => undefined);
    else if (extent.kind === 'data' && extent.writable && extent.length === data.length) {
      layer.fileEvent('write_aio');
      const written = extent.child.write(extent.hostOffset, data, flags);
      return isPromise(written) ? layer.tracker.track('write', offset, data.length, written) : written;
    }
  }
  return start(writeTracked(layer, offset, data, flags));
}

function* writeTracked(layer: ImageLayer, offset: number, data: Uint8Array, flags: RequestFlags): Co<void> {
  const request = layer.tracker.begin('write', offset, data.length);
  try {
    yield* layer.tracker.waitForOverlapping(request);
    yield* writeExtents(layer, request, offset, data, flags);
  } finally {
    layer.tracker.end(request);
  }
}

/** Writes on behalf of a tracked request, extent by extent; makes it serialising where space must be allocated. */
export function* writeExtents(
  layer: ImageLayer,
  request: TrackedRequest,
  offset: number,
  data: Uint8Array,
  flags: RequestFlags,
): Co<void> {
  const { image } = layer;
  if (flags.compressed === true) {
    yield* layer.tracker.makeSerialising(request, image.allocationUnit);
    yield* writeCompressed(layer, offset, data, flags);
    return;
  }
  yield* withTasks(REQUEST_PARALLELISM, function* (tasks) {
    for (let done = 0; done < data.length && !tasks.failed;) {
      const position = offset + done;
      const extent = yield* settle(image.map(position, data.length - done));
      const part = data.subarray(done, done + extent.length);
      if (extent.kind === 'data' && extent.writable) {
        yield* tasks.issue(() => {
          layer.fileEvent('write_aio');
          return extent.child.write(extent.hostOffset, part, flags);
        });
        done += extent.length;
      } else if (!request.serialising) {
        // Others may change the mapping while this waits: nothing may be in flight, and it must be looked at again.
        yield* tasks.drain();
        yield* layer.tracker.makeSerialising(request, image.allocationUnit);
      } else if (extent.kind === 'encoded' && extent.writable) {
        yield* writeEncoded(layer, position, part, flags);
        done += extent.length;
      } else {
        done += yield* writeAllocating(layer, position, data.subarray(done));
      }
    }
  });
}

function* writeEncoded(layer: ImageLayer, offset: number, data: Uint8Array, flags: RequestFlags): Co<void> {
  if (layer.image.writeEncoded === undefined) {
    throw new BlockError('unsupported', `The format '${layer.image.info().format}' cannot write encoded data`);
  }
  // A format that compresses tells it itself, when it knows where the data goes.
  if (flags.compressed !== true) layer.fileEvent('write_aio');
  yield* settle(layer.image.writeEncoded(offset, data, flags));
}

/** Allocates, writes and publishes. @returns how many bytes of `data`, from its start, are written */
export function* writeAllocating(layer: ImageLayer, offset: number, data: Uint8Array): Co<number> {
  const { image } = layer;
  if (image.allocate === undefined) {
    throw new BlockError('unsupported', `The format '${image.info().format}' cannot be written`);
  }
  const allocation = yield* settle(image.allocate(offset, data.length));
  try {
    yield* fillAllocation(layer, allocation, offset, data.subarray(0, allocation.length));
  } catch (error) {
    yield* settle(allocation.abort());
    throw error;
  }
  yield* settle(allocation.commit());
  return allocation.length;
}

/** Writes the data and what must be copied around it. */
function* fillAllocation(layer: ImageLayer, allocation: Allocation, offset: number, data: Uint8Array): Co<void> {
  const { child, hostOffset, copyBefore, copyAfter } = allocation;
  if (copyBefore + copyAfter === 0 || (allocation.zeroed && edgesAreZero(layer, allocation, offset))) {
    layer.fileEvent('write_aio');
    yield* settle(child.write(hostOffset, data));
    return;
  }
  // Small data gets its edges around it and goes down in one write; large data is not copied for that.
  const gap = data.length <= JOINED_WRITE_BYTES ? data.length : 0;
  if (copyBefore + gap + copyAfter > COPIED_EDGE_BYTES) {
    yield* fillInPieces(layer, allocation, offset, data);
    return;
  }
  const joined = requestBuffers.acquire(copyBefore + gap + copyAfter);
  try {
    const before = joined.subarray(0, copyBefore);
    const after = joined.subarray(copyBefore + gap);
    layer.fileEvent('cow_read');
    yield* readImagePadded(layer, offset - copyBefore, before);
    yield* readImagePadded(layer, offset + data.length, after);
    const writeBefore = !(allocation.zeroed && isZero(before));
    const writeAfter = !(allocation.zeroed && isZero(after));
    if (gap > 0) {
      layer.fileEvent('write_aio');
      if (writeBefore || writeAfter) layer.fileEvent('cow_write');
      joined.set(data, copyBefore);
      const from = writeBefore ? 0 : copyBefore;
      const to = writeAfter ? joined.length : copyBefore + data.length;
      yield* settle(child.write(hostOffset - copyBefore + from, joined.subarray(from, to)));
    } else {
      layer.fileEvent('write_aio');
      yield* settle(child.write(hostOffset, data));
      if ((writeBefore && copyBefore > 0) || (writeAfter && copyAfter > 0)) layer.fileEvent('cow_write');
      if (writeBefore && copyBefore > 0) yield* settle(child.write(hostOffset - copyBefore, before));
      if (writeAfter && copyAfter > 0) yield* settle(child.write(hostOffset + data.length, after));
    }
  } finally {
    requestBuffers.release(joined);
  }
}

/** The same without memory for all of it. */
function* fillInPieces(layer: ImageLayer, allocation: Allocation, offset: number, data: Uint8Array): Co<void> {
  const { child, hostOffset, copyBefore, copyAfter } = allocation;
  yield* copyEdge(layer, allocation, offset - copyBefore, hostOffset - copyBefore, copyBefore);
  layer.fileEvent('write_aio');
  yield* settle(child.write(hostOffset, data));
  yield* copyEdge(layer, allocation, offset + data.length, hostOffset + data.length, copyAfter);
}

/** @param offset in the disk. @param hostOffset where that goes in the file */
function* copyEdge(
  layer: ImageLayer,
  { child, zeroed }: Allocation,
  offset: number,
  hostOffset: number,
  length: number,
): Co<void> {
  const buffer = requestBuffers.acquire(Math.min(COPIED_EDGE_BYTES, length));
  try {
    for (let done = 0; done < length; done += buffer.length) {
      const piece = buffer.subarray(0, length - done);
      layer.fileEvent('cow_read');
      yield* readImagePadded(layer, offset + done, piece);
      const zero = isZero(piece);
      if (zero && zeroed) continue;
      layer.fileEvent('cow_write');
      const host = hostOffset + done;
      yield* settle(zero ? child.writeZeroes(host, piece.length) : child.write(host, piece));
    }
  } finally {
    requestBuffers.release(buffer);
  }
}

/** Whether what would be copied is zero, as far as that is known without waiting or reading. */
function edgesAreZero(layer: ImageLayer, { copyBefore, copyAfter, length }: Allocation, offset: number): boolean {
  return isKnownZero(layer, offset - copyBefore, copyBefore) && isKnownZero(layer, offset + length, copyAfter);
}

function isKnownZero({ image, backingLength }: ImageLayer, offset: number, length: number): boolean {
  const end = Math.min(offset + length, image.virtualSize);
  for (let at = offset; at < end;) {
    const extent = image.map(at, end - at);
    if (isPromise(extent)) {
      // Who reads the range asks again, and is told of an error.
      extent.catch(() => undefined);
      return false;
    }
    if (extent.kind !== 'zero' && (extent.kind !== 'backing' || at < backingLength)) return false;
    at += extent.length;
  }
  return true;
}

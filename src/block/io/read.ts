/** The read loop: one for all formats. */
import { isPromise, settle, start, withTasks, type Co, type MaybePromise } from '../co.ts';
import { NO_FLAGS, type RequestFlags } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { Extent } from '../extent.ts';
import { REQUEST_PARALLELISM } from '../limits.ts';
import type { ImageLayer } from './layer.ts';

/** Reads a guest range, beside every request that does not change its mapping meanwhile. */
export function readTracked(
  layer: ImageLayer,
  offset: number,
  buffer: Uint8Array,
  flags: RequestFlags,
): MaybePromise<void> {
  if (layer.tracker.serialising > 0) return start(readAfterOverlapping(layer, offset, buffer, flags));
  const reading = readImage(layer, offset, buffer, flags);
  return isPromise(reading) ? layer.tracker.track('read', offset, buffer.length, reading) : reading;
}

function* readAfterOverlapping(layer: ImageLayer, offset: number, buffer: Uint8Array, flags: RequestFlags): Co<void> {
  const request = layer.tracker.begin('read', offset, buffer.length);
  try {
    yield* layer.tracker.waitForOverlapping(request);
    yield* settle(readImage(layer, offset, buffer, flags));
  } finally {
    layer.tracker.end(request);
  }
}

/**
 * Reads guest bytes of an image, from wherever they are, straight into the caller's buffer.
 *
 * The range must lie inside the image. A range that is one extent with its table in the cache, the usual case, costs one call
 * of `map` and one read of the child; nothing is allocated but the extent.
 */
export function readImage(
  layer: ImageLayer,
  offset: number,
  buffer: Uint8Array,
  flags: RequestFlags = NO_FLAGS,
): MaybePromise<void> {
  const extent = layer.image.map(offset, buffer.length);
  if (!isPromise(extent) && extent.length === buffer.length) return readExtent(layer, extent, offset, buffer, flags);
  return start(readExtents(layer, extent, offset, buffer, flags));
}

function* readExtents(
  layer: ImageLayer,
  first: MaybePromise<Extent>,
  offset: number,
  buffer: Uint8Array,
  flags: RequestFlags,
): Co<void> {
  let next = first;
  yield* withTasks(REQUEST_PARALLELISM, function* (tasks) {
    for (let done = 0; done < buffer.length && !tasks.failed;) {
      const extent = yield* settle(next);
      const position = offset + done;
      const part = buffer.subarray(done, done + extent.length);
      yield* tasks.issue(() => readExtent(layer, extent, position, part, flags));
      done += extent.length;
      if (done < buffer.length) next = layer.image.map(offset + done, buffer.length - done);
    }
  });
}

function readExtent(
  layer: ImageLayer,
  extent: Extent,
  offset: number,
  buffer: Uint8Array,
  flags: RequestFlags,
): MaybePromise<void> {
  switch (extent.kind) {
    case 'data':
      layer.fileEvent('read_aio');
      return extent.child.read(extent.hostOffset, buffer, flags);
    case 'zero':
      buffer.fill(0);
      return;
    case 'backing':
      if (offset < layer.backingLength) layer.fileEvent('read_backing_aio');
      return layer.readBacking(offset, buffer);
    case 'encoded':
      if (layer.image.readEncoded === undefined) {
        throw new BlockError('internal', `The image maps ${extent.encoding} data but cannot decode it`);
      }
      layer.fileEvent(extent.encoding === 'compressed' ? 'read_compressed' : 'read_aio');
      return layer.image.readEncoded(offset, buffer);
  }
}

/** Reads like `readImage`, and zeroes where the range reaches past the end of the image. */
export function* readImagePadded(
  layer: ImageLayer,
  offset: number,
  buffer: Uint8Array,
  flags: RequestFlags = NO_FLAGS,
): Co<void> {
  const inside = Math.max(0, Math.min(buffer.length, layer.image.virtualSize - offset));
  if (inside > 0) yield* settle(readImage(layer, offset, buffer.subarray(0, inside), flags));
  buffer.fill(0, inside);
}

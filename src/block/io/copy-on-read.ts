/**
 * Reading that fills the layer: what only the backing chain holds is written into the image before the reader gets it. The units
 * that are filled belong to the request alone meanwhile, so no guest's write is ever written over with what was there before.
 */
import { settle, type Co } from '../co.ts';
import type { RequestFlags } from '../driver.ts';
import { COPY_ON_READ_BYTES } from '../limits.ts';
import { isZero, requestBuffers } from './buffers.ts';
import type { ImageLayer } from './layer.ts';
import { readImagePadded } from './read.ts';
import type { TrackedRequest } from './tracked.ts';
import { writeExtents } from './write.ts';
import { wholeUnits } from './align.ts';

const FILLING: RequestFlags = Object.freeze({ writeUnchanged: true });

interface Wanted {
  readonly offset: number;
  readonly buffer: Uint8Array;
}

/** Reads a range of a writable image, and keeps what it had to ask the backing file for. QEMU: bdrv_co_do_copy_on_readv. */
export function* readCopying(layer: ImageLayer, offset: number, buffer: Uint8Array, flags: RequestFlags): Co<void> {
  const { image, tracker } = layer;
  const unit = image.allocationUnit;
  const wanted = { offset, buffer };
  const request = tracker.begin('read', offset, buffer.length);
  try {
    yield* tracker.makeSerialising(request, unit);
    const end = Math.min(Math.ceil((offset + buffer.length) / unit) * unit, image.virtualSize);
    const step = Math.max(unit, COPY_ON_READ_BYTES - (COPY_ON_READ_BYTES % unit));
    for (let position = offset - (offset % unit); position < end;) {
      const extent = yield* settle(image.map(position, Math.min(step, end - position)));
      if (extent.kind === 'backing' && position < layer.backingLength) {
        yield* fillPiece(layer, request, position, extent.length, wanted);
      } else {
        const { at, part } = overlap(wanted, position, extent.length);
        if (part.length > 0) yield* readImagePadded(layer, at, part, flags);
      }
      position += extent.length;
    }
  } finally {
    tracker.end(request);
  }
}

/** The part of the buffer that a range of the disk goes to. */
function overlap({ offset, buffer }: Wanted, from: number, length: number): { at: number; part: Uint8Array } {
  const at = Math.max(from, offset);
  const end = Math.max(at, Math.min(from + length, offset + buffer.length));
  return { at, part: buffer.subarray(at - offset, end - offset) };
}

function* fillPiece(
  layer: ImageLayer,
  request: TrackedRequest,
  from: number,
  length: number,
  wanted: Wanted,
): Co<void> {
  const bytes = requestBuffers.acquire(length);
  try {
    layer.fileEvent('read_backing_aio');
    yield* settle(layer.readBacking(from, bytes));
    layer.requestEvent('cor_write');
    yield* keep(layer, request, from, bytes);
    const { at, part } = overlap(wanted, from, length);
    part.set(bytes.subarray(at - from, at - from + part.length));
  } finally {
    requestBuffers.release(bytes);
  }
}

/** Zeroes are marked where the format can: they take no space then. */
function* keep(layer: ImageLayer, request: TrackedRequest, from: number, bytes: Uint8Array): Co<void> {
  const { image } = layer;
  const whole = wholeUnits(image.allocationUnit, from, from + bytes.length, image.virtualSize);
  let done = 0;
  if (whole > 0 && image.markZero !== undefined && isZero(bytes)) {
    done = yield* settle(image.markZero(from, whole, FILLING));
  }
  if (done < bytes.length) yield* writeExtents(layer, request, from + done, bytes.subarray(done), FILLING);
}

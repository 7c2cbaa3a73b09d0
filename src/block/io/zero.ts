/** The write-zeroes loop: one for all formats. */
import { settle, type Co } from '../co.ts';
import type { RequestFlags } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { Extent } from '../extent.ts';
import { ZERO_BUFFER_BYTES } from '../limits.ts';
import { wholeUnits } from './align.ts';
import { zeroBuffer } from './buffers.ts';
import type { ImageLayer } from './layer.ts';
import { writeAllocating } from './write.ts';

/**
 * Makes a guest range read as zero. Whole units are marked in the image's tables where the format can; the rest, and what it
 * cannot mark, is written as data. What reads as zero already is left alone.
 */
export function* zeroImage(layer: ImageLayer, offset: number, length: number, flags: RequestFlags): Co<void> {
  const { image, tracker } = layer;
  const request = tracker.begin('zero', offset, length);
  try {
    yield* tracker.makeSerialising(request, image.allocationUnit);
    const unit = zeroUnitOf(layer);
    const end = offset + length;
    for (let position = offset; position < end;) {
      const whole = wholeUnits(unit, position, end, image.virtualSize);
      const marked =
        whole > 0 && image.markZero !== undefined ? yield* settle(image.markZero(position, whole, flags)) : 0;
      position += marked > 0 ? marked : yield* zeroPart(layer, position, partEnd(layer, position, end, whole), flags);
    }
  } finally {
    tracker.end(request);
  }
}

function zeroUnitOf({ image }: ImageLayer): number {
  return image.zeroUnit ?? image.allocationUnit;
}

/** Up to where zeroes must be written as data: the next unit, or all that could not be marked. */
function partEnd(layer: ImageLayer, position: number, end: number, whole: number): number {
  if (whole > 0 || layer.image.markZero === undefined) return end;
  const unit = zeroUnitOf(layer);
  return Math.min(end, position - (position % unit) + unit);
}

function* zeroPart(layer: ImageLayer, position: number, end: number, flags: RequestFlags): Co<number> {
  const extent = yield* settle(layer.image.map(position, end - position));
  if (readsAsZero(layer, extent, position)) return extent.length;
  if (extent.kind === 'data' && extent.writable) {
    yield* settle(extent.child.writeZeroes(extent.hostOffset, extent.length, flags));
    return extent.length;
  }
  if (flags.noFallback === true) {
    throw new BlockError('unsupported', 'The format cannot make a part of a cluster zero without writing it');
  }
  return yield* writeAllocating(layer, position, zeroBuffer(Math.min(extent.length, ZERO_BUFFER_BYTES)));
}

function readsAsZero(layer: ImageLayer, extent: Extent, position: number): boolean {
  return extent.kind === 'zero' || (extent.kind === 'backing' && position >= layer.backingLength);
}

/** The loop of compressed writes: one for all formats. They are made of whole units. */
import { settle, type Co } from '../co.ts';
import type { RequestFlags } from '../driver.ts';
import { BlockError } from '../error.ts';
import { wholeUnits } from './align.ts';
import { requestBuffers } from './buffers.ts';
import type { ImageLayer } from './layer.ts';
import { readImagePadded } from './read.ts';

/**
 * Writes a guest range compressed. Of a unit that the range has only a part of, the rest is read and compressed with it. The request
 * has the units it touches to itself.
 *
 * @throws BlockError `unsupported` when the format cannot store data compressed
 */
export function* writeCompressed(layer: ImageLayer, offset: number, data: Uint8Array, flags: RequestFlags): Co<void> {
  const { image } = layer;
  if (image.writeEncoded === undefined) {
    throw new BlockError('unsupported', `The format '${image.info().format}' cannot store data compressed`);
  }
  const end = offset + data.length;
  for (let position = offset; position < end;) {
    const whole = wholeUnits(image.allocationUnit, position, end, image.virtualSize);
    const part = data.subarray(position - offset, position - offset + whole);
    if (whole > 0) yield* settle(image.writeEncoded(position, part, flags));
    position += whole > 0 ? whole : yield* writePart(layer, position, data.subarray(position - offset), flags);
  }
}

/** Writes the unit that a position lies in, with as much of the data as it takes. @returns how much that was */
function* writePart(layer: ImageLayer, position: number, data: Uint8Array, flags: RequestFlags): Co<number> {
  const { image } = layer;
  const start = position - (position % image.allocationUnit);
  const unit = requestBuffers.acquire(Math.min(image.allocationUnit, image.virtualSize - start));
  try {
    yield* readImagePadded(layer, start, unit);
    const part = data.subarray(0, start + unit.length - position);
    unit.set(part, position - start);
    yield* settle(image.writeEncoded!(start, unit, flags));
    return part.length;
  } finally {
    requestBuffers.release(unit);
  }
}

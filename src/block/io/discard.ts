/** The discard loop: one for all formats. */
import { settle, type Co } from '../co.ts';
import type { ImageLayer } from './layer.ts';
import { wholeUnits } from './align.ts';

/** Gives the whole units of a guest range back to the image. A discard is a hint: parts of units are left as they are. */
export function* discardImage(layer: ImageLayer, offset: number, length: number): Co<void> {
  const { image, tracker } = layer;
  const unit = image.allocationUnit;
  const request = tracker.begin('discard', offset, length);
  try {
    yield* tracker.makeSerialising(request, unit);
    const end = offset + length;
    let position = offset + ((unit - (offset % unit)) % unit);
    while (position < end) {
      const whole = wholeUnits(unit, position, end, image.virtualSize);
      if (whole === 0) return;
      position +=
        image.discard === undefined
          ? yield* discardInPlace(layer, position, whole)
          : yield* settle(image.discard(position, whole));
    }
  } finally {
    tracker.end(request);
  }
}

/** For formats that have no tables: the file below may be able to give the space back. */
function* discardInPlace(layer: ImageLayer, position: number, length: number): Co<number> {
  const extent = yield* settle(layer.image.map(position, length));
  if (extent.kind === 'data' && extent.writable) yield* settle(extent.child.discard(extent.hostOffset, extent.length));
  return extent.length;
}

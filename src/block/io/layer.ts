import type { MaybePromise } from '../co.ts';
import type { FormatImage } from '../driver.ts';
import type { BlockEvent } from '../events.ts';
import type { RequestTracker } from './tracked.ts';

/** What the request loops need of the node whose request they carry out: its image, and what lies below it. */
export interface ImageLayer {
  readonly nodeName: string;
  readonly image: FormatImage;
  readonly tracker: RequestTracker;
  /** Bytes of the backing file; 0 without one. Past it, bytes that this layer does not hold are zero. */
  readonly backingLength: number;
  /** Reads what lies below this layer. Past the end of the backing file, and without one, zeroes are read. */
  readBacking(offset: number, buffer: Uint8Array): MaybePromise<void>;
  /** Tells observers of the image's file that a request is at a named point. */
  fileEvent(name: BlockEvent): void;
  /** Tells observers of the image itself. */
  requestEvent(name: BlockEvent): void;
}

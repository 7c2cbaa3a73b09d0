/**
 * Letting the event loop run in the midst of long work. Over synchronous storage nothing ever waits, so a long operation must
 * make room itself for messages, timers and other requests.
 */
import { TIME_SLICE_MS } from './limits.ts';
import type { Co } from './co.ts';

export class TimeSlice {
  #startMs = performance.now();

  /** Call between two steps: returns at once unless the slice is used up. */
  *pause(): Co<void> {
    if (performance.now() - this.#startMs < TIME_SLICE_MS) return;
    yield eventLoopTurn();
    this.#startMs = performance.now();
  }
}

/** Node has a call for just that; a message port there takes twenty milliseconds to be loaded. */
const { setImmediate } = globalThis as { readonly setImmediate?: (callback: () => void) => unknown };

/** One turn of the event loop. A message comes back at once; nested timers are held up by four milliseconds. */
function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (setImmediate !== undefined) {
      setImmediate(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    // `onmessage` starts the port; a listener would leave it waiting for `start`.
    // oxlint-disable-next-line unicorn/prefer-add-event-listener
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

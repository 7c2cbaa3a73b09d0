// Each line marked `expect` must be reported by that rule, and no other line by any. (A `void` is excused by a comment
// near it, so its mark stands two lines above.)
import { type Co, type MaybePromise, settle, start } from '../../../src/block/co.ts';

declare function read(offset: number): MaybePromise<number>;
declare function isReady(): MaybePromise<boolean>;
declare function begin(): Promise<void>;

function* leaf(offset: number): Co<number> {
  return yield* settle(read(offset));
}

export function* forgotten(): Co<void> {
  leaf(1); // expect coroutine-dropped
  void leaf(2); // expect coroutine-dropped
  const unused = leaf(3); // expect coroutine-dropped
  console.log(leaf(4)); // expect coroutine-dropped
  yield* settle(leaf(5)); // expect coroutine-dropped
  [1, 2].forEach((offset) => leaf(offset)); // expect coroutine-dropped
  [1, 2].forEach((offset) => {
    return leaf(offset); // expect coroutine-dropped
  });
  if (leaf(6)) yield begin(); // expect coroutine-dropped
  const all = [...leaf(7)]; // expect coroutine-dropped
}

export function* returned() {
  yield begin();
  return leaf(1); // expect coroutine-dropped
}

export class Disk {
  *#flush(): Co<void> {
    yield begin();
  }

  *close(): Co<void> {
    this.#flush(); // expect coroutine-dropped
    yield* this.#flush();
  }

  closeNow(): MaybePromise<void> {
    this.close(); // expect coroutine-dropped
    return start(this.close());
  }
}

export function* yielding(): Generator<number | Promise<number>> {
  yield read(1); // expect yield-maybe-promise
}

export function discards(): void {
  // Two lines below: expect void-promise

  void begin();
}

export function tests(): unknown {
  if (isReady()) return 1; // expect maybe-promise-tested
  if (!isReady()) return 2; // expect maybe-promise-tested
  return isReady() ? read(1) === 3 : isReady() && 4; // expect maybe-promise-tested maybe-promise-tested maybe-promise-tested
}

export const waits = async (): Promise<void> => await begin(); // expect core-async core-async

export function bits(offset: number, hostOffset: number, extent: { length: number }): unknown {
  const rounded = offset | 0; // expect offset-bits
  const shifted = hostOffset >> 9; // expect offset-bits
  return [rounded, shifted, extent.length & 511, ~offset]; // expect offset-bits offset-bits
}

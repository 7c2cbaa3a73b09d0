import type { Allocation, BlockChild } from '../../driver.ts';

/** A write to a place that the tables lead to already: there is nothing to publish, and nothing to give back. */
export function inPlace(child: BlockChild, hostOffset: number, length: number): Allocation {
  return {
    child,
    hostOffset,
    length,
    copyBefore: 0,
    copyAfter: 0,
    zeroed: false,
    commit: () => undefined,
    abort: () => undefined,
  };
}

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { OperationCounter } from '../../../src/block/graph/statistics.ts';

let now = 0;
beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

describe('a counter of requests', () => {
  test('times one in 64 requests that do not wait, and lets it stand for all', () => {
    const counter = new OperationCounter();
    let timed = 0;
    for (let request = 0; request < 128; request++) {
      const startMs = counter.startMs();
      if (startMs >= 0) timed++;
      now += 0.5;
      counter.count(512, startMs);
    }
    expect(timed).toBe(2);
    expect(counter).toMatchObject({ operations: 128, bytes: 128 * 512, timeNs: 128 * 500_000 });
  });

  test('times every request that waits', () => {
    const counter = new OperationCounter();
    for (let request = 0; request < 3; request++) {
      const startMs = now;
      now += 2;
      counter.countWaited(4096, startMs);
    }
    expect(counter).toMatchObject({ operations: 3, bytes: 3 * 4096, timeNs: 6_000_000 });
  });
});

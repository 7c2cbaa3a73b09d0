import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { OperationCounter } from '../../../src/block/graph/statistics.ts';

let now = 0;
beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

describe('a counter of requests', () => {
  test('times some of the requests that do not wait, and takes the others to be like them', () => {
    const counter = new OperationCounter();
    let timed = 0;
    for (let request = 0; request < 1024; request++) {
      const startMs = counter.startMs();
      if (startMs >= 0) timed++;
      now += 0.5;
      counter.count(512, startMs);
    }
    expect(timed).toBe(16 + 3);
    expect(counter).toMatchObject({ operations: 1024, bytes: 1024 * 512, timeNs: 1024 * 500_000 });
  });

  test('has taken no time while there was no request', () => {
    expect(new OperationCounter().timeNs).toBe(0);
  });

  test('times every request that waits', () => {
    const counter = new OperationCounter();
    for (let request = 0; request < 3; request++) {
      const startMs = now;
      now += 2;
      counter.countWaited(4096, startMs);
    }
    counter.count(512, -1);
    expect(counter).toMatchObject({ operations: 4, bytes: 3 * 4096 + 512, timeNs: 6_000_000 });
  });
});

import { describe, expect, test } from 'vitest';
import { ThrottleGroup, type ThrottleClock } from '../../../src/block/filter/index.ts';
import type { BlockBackend } from '../../../src/block/graph/backend.ts';
import { coreGraph } from '../../support/core-graph.ts';

/** Time that passes only when a test says so. */
class HandClock implements ThrottleClock {
  #nowMs = 1000;
  #timers: { readonly at: number; readonly wake: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(milliseconds: number, wake: () => void): void {
    this.#timers.push({ at: this.#nowMs + milliseconds, wake });
  }

  /** Lets time pass, timer by timer, and what they wake run. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#nowMs + milliseconds;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.at);
      next.wake();
      await settled();
    }
    this.#nowMs = end;
    await settled();
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

async function disks(
  limits: Readonly<Record<string, unknown>>,
  count = 1,
): Promise<{ disks: BlockBackend[]; clock: HandClock; graph: ReturnType<typeof coreGraph>; group: ThrottleGroup }> {
  const graph = coreGraph();
  const clock = new HandClock();
  const group = new ThrottleGroup(limits, clock);
  graph.objects.add('tg', group);
  const opened: BlockBackend[] = [];
  for (let i = 0; i < count; i++) {
    const file = { driver: 'raw', file: { driver: 'memory', name: `disk-${i}`, size: 2 ** 20 } };
    opened.push(await graph.open({ driver: 'throttle', 'throttle-group': 'tg', file }));
  }
  return { disks: opened, clock, graph, group };
}

/** Issues requests without waiting, and says which are done. */
function issue(
  disk: BlockBackend,
  verb: 'read' | 'write',
  count: number,
  bytes: number,
  done: string[],
  tag = '',
): void {
  for (let i = 0; i < count; i++) {
    const request = async (): Promise<void> => {
      await disk[verb](0, new Uint8Array(bytes));
      done.push(`${tag}${i}`);
    };
    void request(); // Its end is what the test looks at.
  }
}

describe('throttle', () => {
  test('operations a second: a tenth of a second at once, then one by one, in order', async () => {
    const { disks: opened, clock } = await disks({ 'x-iops-total': 100 });
    const done: string[] = [];
    issue(opened[0]!, 'read', 30, 512, done);
    await settled();
    // The bucket is over its size after the eleventh.
    expect(done).toHaveLength(11);
    await clock.pass(100);
    expect(done).toHaveLength(21);
    await clock.pass(1000);
    expect(done).toEqual(Array.from({ length: 30 }, (_, i) => String(i)));
  });

  test('bytes a second, reads and writes apart', async () => {
    const { disks: opened, clock } = await disks({ 'x-bps-write': 100_000 });
    const done: string[] = [];
    issue(opened[0]!, 'write', 4, 50_000, done, 'w');
    issue(opened[0]!, 'read', 4, 50_000, done, 'r');
    await settled();
    expect(done.toSorted()).toEqual(['r0', 'r1', 'r2', 'r3', 'w0']);
    // The second one waits until the bucket is down to a tenth of a second's worth.
    await clock.pass(399);
    expect(done).not.toContain('w1');
    await clock.pass(2);
    expect(done).toContain('w1');
    await clock.pass(2000);
    expect(done).toHaveLength(8);
  });

  test('a burst lasts as long as it may, and then the average holds', async () => {
    const { disks: opened, clock } = await disks({
      'x-iops-total': 10,
      'x-iops-total-max': 100,
      'x-iops-total-max-length': 2,
    });
    const done: string[] = [];
    issue(opened[0]!, 'read', 500, 512, done);
    await clock.pass(1000);
    const afterOne = done.length;
    await clock.pass(1000);
    const afterTwo = done.length;
    await clock.pass(3000);
    const afterFive = done.length;
    expect(afterOne).toBeGreaterThan(100);
    expect(afterOne).toBeLessThan(115);
    expect(afterTwo).toBeGreaterThan(200);
    expect(afterTwo).toBeLessThan(225);
    expect(afterFive - afterTwo).toBeLessThan(40);
  });

  test('a large request counts as several operations of iops-size', async () => {
    const { disks: opened, clock } = await disks({ 'x-iops-total': 100, 'x-iops-size': 4096 });
    const done: string[] = [];
    issue(opened[0]!, 'read', 3, 20 * 4096, done);
    await settled();
    expect(done).toHaveLength(1);
    await clock.pass(101);
    expect(done).toHaveLength(2);
  });

  test('the members of a group share its limits and take turns', async () => {
    const { disks: opened, clock } = await disks({ 'x-iops-total': 100 }, 3);
    const done: string[] = [];
    for (const [index, disk] of opened.entries()) issue(disk, 'read', 40, 512, done, 'abc'[index]);
    await clock.pass(500);
    const counts = ['a', 'b', 'c'].map((tag) => done.slice(11).filter((name) => name.startsWith(tag)).length);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    expect(done.length).toBeLessThanOrEqual(62);
  });

  test('drain lets everything go, in order, and so does closing', async () => {
    const { disks: opened, clock, graph } = await disks({ 'x-iops-total': 1 }, 2);
    const done: string[] = [];
    issue(opened[0]!, 'read', 5, 512, done, 'a');
    issue(opened[1]!, 'read', 2, 512, done, 'b');
    await settled();
    await graph.close(opened[0]!);
    expect(done.filter((name) => name.startsWith('a'))).toEqual(['a0', 'a1', 'a2', 'a3', 'a4']);
    expect(done.some((name) => name.startsWith('b'))).toBe(false);
    await clock.pass(20_000);
    expect(done.filter((name) => name.startsWith('b'))).toEqual(['b0', 'b1']);
  });

  test('new limits are looked at by what waits', async () => {
    const { disks: opened, clock, group } = await disks({ 'x-iops-total': 1 });
    const done: string[] = [];
    issue(opened[0]!, 'write', 4, 512, done);
    await settled();
    expect(done).toHaveLength(1);
    group.configure({});
    await clock.pass(2000);
    expect(done).toHaveLength(4);
  });

  test.each([
    [{ 'x-bps-total': 1, 'x-bps-read': 1 }, 'bps/iops/max total values and read/write values cannot be used'],
    [{ 'x-iops-total-max': 5 }, 'bps_max/iops_max require corresponding bps/iops values'],
    [{ 'x-iops-total': 5, 'x-iops-total-max': 2 }, 'bps_max/iops_max cannot be lower than bps/iops'],
    [{ 'x-iops-total': 5, 'x-iops-total-max-length': 2 }, 'burst length set without burst rate'],
    [{ 'x-iops-total': 5, 'x-iops-total-max': 9, 'x-iops-total-max-length': 0 }, 'the burst length cannot be 0'],
    [{ 'x-iops-size': 4096 }, 'iops size requires an iops value to be set'],
    [{ 'x-iops': 4096 }, 'not known to a throttle group'],
  ])('%o is refused', (limits, message) => {
    expect(() => new ThrottleGroup(limits)).toThrow(message);
  });

  test('a group that nobody made is refused by name', async () => {
    const graph = coreGraph();
    await expect(
      graph.open({ driver: 'throttle', 'throttle-group': 'no', file: { driver: 'memory', size: 512 } }),
    ).rejects.toThrow("Throttle group 'no' does not exist");
  });
});

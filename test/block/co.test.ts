import { describe, expect, test } from 'vitest';
import { CoMutex, settle, start, startAsync, withTasks, type Co, type TaskPool } from '../../src/block/co.ts';

const later = <T>(value: T, turns = 1): Promise<T> =>
  turns === 0 ? Promise.resolve(value) : Promise.resolve().then(() => later(value, turns - 1));

function* add(a: number | Promise<number>, b: number | Promise<number>): Co<number> {
  return (yield* settle(a)) + (yield* settle(b));
}

describe('start', () => {
  test('gives the value itself when nothing had to be waited for', () => {
    expect(start(add(1, 2))).toBe(3);
  });

  test('gives a promise when something had to', async () => {
    const sum = start(add(later(1), 2));
    expect(sum).toBeInstanceOf(Promise);
    expect(await sum).toBe(3);
  });

  test('throws at once what is thrown before the first wait, and rejects with what comes later', async () => {
    function* failing(wait: boolean): Co<void> {
      if (wait) yield later(0);
      throw new Error('broken');
    }
    expect(() => start(failing(false))).toThrow('broken');
    await expect(start(failing(true))).rejects.toThrow('broken');
    await expect(startAsync(failing(false))).rejects.toThrow('broken');
  });

  test('throws a rejection into the coroutine, which may go on', async () => {
    function* recovering(): Co<string> {
      try {
        yield Promise.reject(new Error('lost'));
      } catch {
        return yield* settle(later('found'));
      }
      return 'never';
    }
    expect(await start(recovering())).toBe('found');
  });
});

describe('TaskPool', () => {
  test('keeps no more tasks in flight than it may, and waits for all', async () => {
    let inFlight = 0;
    let most = 0;
    let done = 0;
    await start(
      withTasks(3, function* (tasks) {
        for (let i = 0; i < 10; i++) {
          yield* tasks.issue(() => {
            most = Math.max(most, ++inFlight);
            return later(undefined, (i * 7) % 5).then(() => {
              inFlight--;
              done++;
            });
          });
        }
      }),
    );
    expect({ most, done, inFlight }).toEqual({ most: 3, done: 10, inFlight: 0 });
  });

  test('begins nothing after a failure, and throws it only when nothing is in flight any more', async () => {
    const events: string[] = [];
    const run = start(
      withTasks(2, function* (tasks: TaskPool) {
        yield* tasks.issue(() => later(undefined, 1).then(() => Promise.reject(new Error('first'))));
        yield* tasks.issue(() => later(undefined, 6).then(() => void events.push('slow one ended')));
        yield* tasks.issue(() => void events.push('begun after the failure'));
      }),
    );
    await expect(run).rejects.toThrow('first');
    expect(events).toEqual(['slow one ended']);
  });

  test('waits for what is in flight when the body itself fails', async () => {
    const events: string[] = [];
    const run = start(
      withTasks(2, function* (tasks) {
        yield* tasks.issue(() => later(undefined, 3).then(() => void events.push('ended')));
        throw new Error('body');
      }),
    );
    await expect(run).rejects.toThrow('body');
    expect(events).toEqual(['ended']);
  });
});

describe('CoMutex', () => {
  test('lets coroutines in one at a time, in the order they came', async () => {
    const mutex = new CoMutex();
    const events: string[] = [];
    const enter = (name: string, turns: number) =>
      startAsync(
        mutex.run(function* () {
          events.push(`${name} in`);
          if (turns > 0) yield later(undefined, turns);
          events.push(`${name} out`);
        }),
      );
    await Promise.all([enter('a', 5), enter('b', 0), enter('c', 2)]);
    expect(events).toEqual(['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
    expect(mutex.locked).toBe(false);
  });

  test('is free again after a failure, and costs no promise when it is free', async () => {
    const mutex = new CoMutex();
    const fail = (): never => {
      throw new Error('inside');
    };
    expect(() => start(mutex.run(fail))).toThrow('inside');
    function* five(): Co<number> {
      return yield* settle(5);
    }
    expect(start(mutex.run(five))).toBe(5);
  });

  test('is held by a plain function too, and until what it promises has come', async () => {
    const mutex = new CoMutex();
    expect(start(mutex.run(() => mutex.locked))).toBe(true);
    const running = start(mutex.run(() => later('done', 3)));
    expect(mutex.locked).toBe(true);
    expect(await running).toBe('done');
    expect(mutex.locked).toBe(false);
  });
});

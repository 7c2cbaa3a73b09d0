/**
 * Synchronous and asynchronous I/O in one implementation.
 *
 * A function that may have to wait returns a `MaybePromise`: the value itself when nothing had to wait, a promise when
 * something did. A body of several steps is a generator, a block-layer coroutine `Co<T>`, which yields only the promises it
 * must wait for; `start` runs it. Over synchronous storage no promise is ever made, so a read costs a few function calls.
 */

export type MaybePromise<T> = T | Promise<T>;

/** A block-layer coroutine: it yields the promises that it must wait for and is sent what they became. */
export type Co<T> = Generator<Promise<unknown>, T, unknown>;

/** Tells whether a value must be waited for. */
export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return value instanceof Promise;
}

function isCo<T>(value: Co<T> | MaybePromise<T>): value is Co<T> {
  return (
    typeof value === 'object' &&
    value !== null &&
    Symbol.toStringTag in value &&
    value[Symbol.toStringTag] === 'Generator'
  );
}

/**
 * Waits for a value inside a coroutine, if it has to be waited for: `const x = yield* settle(maybePromise)`.
 *
 * @returns the value. @throws whatever the promise was rejected with.
 */
export function* settle<T>(value: MaybePromise<T>): Co<T> {
  return isPromise(value) ? ((yield value) as T) : value;
}

/**
 * Runs a coroutine. Returns its value at once if it never had to wait, else a promise of it.
 *
 * @throws at once what the coroutine throws before its first wait; what it throws later rejects the promise.
 */
export function start<T>(co: Co<T>): MaybePromise<T> {
  const step = co.next();
  return step.done === true ? step.value : drive(co, step.value);
}

async function drive<T>(co: Co<T>, first: Promise<unknown>): Promise<T> {
  let waitingFor = first;
  for (;;) {
    let step: IteratorResult<Promise<unknown>, T>;
    try {
      const value = await waitingFor;
      step = co.next(value);
    } catch (error) {
      // An error of the coroutine's own body also lands here: throwing it into a finished generator just rethrows it.
      step = co.throw(error);
    }
    if (step.done === true) return step.value;
    waitingFor = step.value;
  }
}

/** Runs a coroutine and always gives a promise: what it throws before its first wait rejects it too. */
export function startAsync<T>(co: Co<T>): Promise<T> {
  return new Promise((resolve) => {
    resolve(start(co));
  });
}

/** Does `next` with the value, at once when there is nothing to wait for. */
export function chain<T, U>(value: MaybePromise<T>, next: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return isPromise(value) ? value.then(next) : next(value);
}

/**
 * Several tasks in flight, at most `limit` at a time. The first failure is kept, no task is begun after it, and `drain`
 * waits for all that are in flight before it throws: no task ever touches a caller's buffer after the request has failed.
 */
export class TaskPool {
  readonly #limit: number;
  #inFlight = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  /** @param limit how many tasks may be in flight, 1 or more. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether a task has failed: what is left to issue need not be prepared. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Begins a task, after waiting for a free place if all are taken. Does nothing once a task has failed. */
  *issue(task: () => MaybePromise<void>): Co<void> {
    while (this.#inFlight >= this.#limit) yield this.#nextCompletion();
    if (this.#failure !== undefined) return;
    let running: MaybePromise<void>;
    try {
      running = task();
    } catch (error) {
      this.#failure = { error };
      return;
    }
    if (!isPromise(running)) return;
    this.#inFlight++;
    running.then(
      () => this.#finished(),
      (error: unknown) => {
        this.#failure ??= { error };
        this.#finished();
      },
    );
  }

  /** Waits until no task is in flight. @throws the first error of any task. */
  *drain(): Co<void> {
    while (this.#inFlight > 0) yield this.#nextCompletion();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Waits until no task is in flight, and keeps quiet about failures: another error is on its way up already. */
  *quiesce(): Co<void> {
    while (this.#inFlight > 0) yield this.#nextCompletion();
  }

  #nextCompletion(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #finished(): void {
    this.#inFlight--;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

/**
 * Runs a coroutine that issues tasks into a pool, and ends only when no task is in flight any more, however it ends.
 *
 * @throws what the body throws, else the first error of any task
 */
export function* withTasks(limit: number, body: (tasks: TaskPool) => Co<void>): Co<void> {
  const tasks = new TaskPool(limit);
  try {
    yield* body(tasks);
  } catch (error) {
    yield* tasks.quiesce();
    throw error;
  }
  yield* tasks.drain();
}

/** Mutual exclusion between coroutines, first come, first served. Taking it costs nothing when it is free. */
export class CoMutex {
  #locked = false;
  readonly #waiting: (() => void)[] = [];

  get locked(): boolean {
    return this.#locked;
  }

  /** Runs a coroutine, or a plain function, while holding the mutex, and lets go of it however that ends. */
  run<T>(body: () => Co<T>): Co<T>;
  run<T>(body: () => MaybePromise<T>): Co<T>;
  *run<T>(body: () => Co<T> | MaybePromise<T>): Co<T> {
    yield* this.#lock();
    try {
      const running = body();
      return isCo(running) ? yield* running : yield* settle(running);
    } finally {
      this.#unlock();
    }
  }

  *#lock(): Co<void> {
    if (!this.#locked) {
      this.#locked = true;
      return;
    }
    // The one that unlocks hands the mutex over without freeing it, so nobody can slip in between.
    yield new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  #unlock(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#locked = false;
    else next();
  }
}

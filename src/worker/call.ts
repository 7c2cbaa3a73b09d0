/** The worker's end of a long call: progress to the page, and the news that the page has given up. */
import { BlockError } from '../block/error.ts';
import type { Progress } from '../block/driver.ts';
import { ABORT, type ProgressMessage } from './wire.ts';

/** More often nobody can look. */
const PROGRESS_INTERVAL_MS = 100;

export class CallControl implements Progress {
  readonly #port: MessagePort | undefined;
  #aborted = false;
  readonly #onAbort = new Set<() => void>();
  #lastReportMs = Number.NEGATIVE_INFINITY;

  /** @param port undefined for a caller who neither watches nor gives up */
  constructor(port: MessagePort | undefined) {
    this.#port = port;
    if (port === undefined) return;
    port.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data !== ABORT) return;
      this.#aborted = true;
      for (const listener of this.#onAbort) listener();
    };
  }

  /** Tells the page how far it is, ten times a second at most. @throws BlockError `aborted` when the page has given up */
  report(done: number, total: number): void {
    this.throwIfAborted();
    if (this.#port === undefined) return;
    const nowMs = performance.now();
    if (nowMs - this.#lastReportMs < PROGRESS_INTERVAL_MS && done < total) return;
    this.#lastReportMs = nowMs;
    this.#port.postMessage([done, total] satisfies ProgressMessage);
  }

  /** @throws BlockError `aborted` */
  throwIfAborted(): void {
    if (this.#aborted) throw abortedError();
  }

  /**
   * Waits for something that cannot be stopped, no longer than until the page gives up.
   *
   * @param undo is done to what comes after that
   * @throws BlockError `aborted`, and what the work throws
   */
  waitFor<T>(work: Promise<T>, undo?: (late: T) => Promise<unknown>): Promise<T> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(abortedError());
      this.#onAbort.add(onAbort);
      if (this.#aborted) onAbort();
      // Every way that it can end is answered below.
      void work
        .then((value) => {
          // Nobody is left to tell of a failure to undo: the call has been answered.
          if (this.#aborted) undo?.(value).catch(() => undefined);
          else resolve(value);
        }, reject)
        .finally(() => this.#onAbort.delete(onAbort));
    });
  }

  end(): void {
    this.#onAbort.clear();
    this.#port?.close();
  }
}

function abortedError(): BlockError {
  return new BlockError('aborted', 'The caller gave up');
}

/** Runs a call with its control, which ends with it. */
export async function withControl<T>(
  port: MessagePort | undefined,
  body: (control: CallControl) => Promise<T>,
): Promise<T> {
  const control = new CallControl(port);
  try {
    return await body(control);
  } finally {
    control.end();
  }
}

/** The connection to a worker: comlink's calls, and the news of the worker's end, which nobody else would tell. */
import { wrap, type Remote } from 'comlink';
import { BlockError } from '../block/error.ts';
import type { WorkerApi } from '../worker/api.ts';
import { PROTOCOL_VERSION, type Greeting, type WelcomeMessage } from '../worker/wire.ts';

export class WorkerLink {
  readonly api: Remote<WorkerApi>;
  /** Resolves at the end: to why the worker died, or to undefined when the page ended the connection. Never rejects. */
  readonly ended: Promise<BlockError | undefined>;
  readonly #port: MessagePort;
  readonly #resolveEnded: (reason: BlockError | undefined) => void;
  readonly #listeners = new Set<(error: BlockError) => void>();
  readonly #watch = new AbortController();
  #end: BlockError | undefined;

  /** @param port the control port, on which the worker has sent its welcome */
  constructor(port: MessagePort) {
    this.#port = port;
    this.api = wrap<WorkerApi>(port);
    let resolveEnded: (reason: BlockError | undefined) => void = () => undefined;
    this.ended = new Promise((resolve) => {
      resolveEnded = resolve;
    });
    this.#resolveEnded = resolveEnded;
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /**
   * Waits for a call. @throws BlockError `closed` when the connection ends before the answer, and what the call throws
   */
  call<T>(begin: (api: Remote<WorkerApi>) => Promise<T>): Promise<T> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      const forget = this.onEnd(reject);
      begin(this.api)
        .then(resolve, reject)
        .finally(forget)
        // It has been answered with what it was rejected with.
        .catch(() => undefined);
    });
  }

  /** @returns what takes the listener off again */
  onEnd(listener: (error: BlockError) => void): () => void {
    if (this.#end === undefined) this.#listeners.add(listener);
    else listener(this.#end);
    return () => this.#listeners.delete(listener);
  }

  /** The worker is dead: everything that waits for it, and everything later, is told so. */
  die(reason: BlockError): void {
    this.#finish(reason, reason);
  }

  /** The page has no more use for the worker. */
  close(): void {
    this.#finish(closedError(), undefined);
  }

  /** Sees the worker's end by the lock that it holds as long as it lives. */
  watchLock(name: string): void {
    const request = navigator.locks.request(name, { signal: this.#watch.signal }, () => this.die(diedError()));
    // It rejects when the page closes the connection: then nobody wants to know any more.
    request.catch(() => undefined);
  }

  /** Where there are no locks, an error that nothing in the worker caught counts as its end. */
  watchErrors(worker: Worker): void {
    const onError = (event: ErrorEvent): void => this.die(diedError(event.message));
    worker.addEventListener('error', onError, { signal: this.#watch.signal });
  }

  #finish(error: BlockError, reason: BlockError | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = error;
    this.#watch.abort();
    this.#port.close();
    for (const listener of this.#listeners) listener(error);
    this.#listeners.clear();
    this.#resolveEnded(reason);
  }
}

export function closedError(): BlockError {
  return new BlockError('closed', 'The connection to the worker was closed: connect again');
}

function diedError(message = ''): BlockError {
  const why = message === '' ? '' : ` (${message})`;
  return new BlockError(
    'closed',
    `The worker has died${why}: it was terminated, or ran out of memory. What was flushed is stored; connect again and reopen the disks`,
  );
}

/**
 * Greets a worker and waits until it answers.
 *
 * @param timeoutMs how long to wait for a worker that does not even fail
 * @throws BlockError `closed` when it does not start, `unsupported` when it is of another release
 */
export async function greet(worker: Worker, timeoutMs: number): Promise<WorkerLink> {
  const { port1, port2 } = new MessageChannel();
  const lifeLock = `spindle:worker:${crypto.randomUUID()}`;
  const greeting: Greeting = { spindle: PROTOCOL_VERSION, control: port2, lifeLock };
  let welcome: WelcomeMessage;
  try {
    const answered = firstAnswer(worker, port1, timeoutMs);
    worker.postMessage(greeting, [port2]);
    welcome = await answered;
  } catch (error) {
    port1.close();
    throw error;
  }
  if (welcome.spindle !== PROTOCOL_VERSION) {
    port1.close();
    throw new BlockError(
      'unsupported',
      `The worker is of another release (its messages have version ${welcome.spindle}, the page's ${PROTOCOL_VERSION}): load both from one`,
    );
  }
  const link = new WorkerLink(port1);
  if (welcome.holdsLock) link.watchLock(lifeLock);
  else link.watchErrors(worker);
  return link;
}

function firstAnswer(worker: Worker, port: MessagePort, timeoutMs: number): Promise<WelcomeMessage> {
  const waiting = new AbortController();
  return new Promise<WelcomeMessage>((resolve, reject) => {
    const { signal } = waiting;
    port.addEventListener('message', (event: MessageEvent<WelcomeMessage>) => resolve(event.data), { signal });
    port.start();
    worker.addEventListener('error', (event) => reject(startError(event)), { signal });
    const timer = setTimeout(() => reject(silentError(timeoutMs)), timeoutMs);
    signal.addEventListener('abort', () => clearTimeout(timer));
  }).finally(() => waiting.abort());
}

/** Browsers tell little of a script that does not load; of one that throws, its message. */
function startError(event: ErrorEvent): BlockError {
  const message = event.message ?? '';
  const why =
    message === ''
      ? 'its script could not be loaded. Look at the console: the file may be missing, or a Content-Security-Policy may forbid it (worker-src)'
      : message;
  return new BlockError('closed', `The worker did not start: ${why}`, {}, { cause: event.error ?? undefined });
}

function silentError(timeoutMs: number): BlockError {
  return new BlockError(
    'closed',
    `The worker did not answer within ${timeoutMs} ms: is it Spindle's ('spindle/worker')? A worker of your own must import that first`,
  );
}

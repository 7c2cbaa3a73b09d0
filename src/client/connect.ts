/** Starting the worker. */
import { BlockError } from '../block/error.ts';
import { installErrorTransfer } from '../worker/transfer.ts';
import { greet } from './link.ts';
import { Spindle } from './spindle.ts';

/** Longer than a slow network takes to bring the worker's script. */
const START_TIMEOUT_MS = 60_000;

export interface ConnectOptions {
  /**
   * A worker to use in place of the package's: a running one (which the connection will not terminate), the URL of its script (a
   * module), or a function that starts one. Its script is `spindle/worker`, or imports that.
   */
  readonly worker?: Worker | URL | string | (() => Worker) | undefined;
  /** How long a worker that does not even fail may take to answer, in milliseconds; default 60,000. */
  readonly startTimeoutMs?: number | undefined;
}

/**
 * Starts the worker that holds the block layer.
 *
 * @throws BlockError `closed` when the worker does not start, and why as far as the browser tells; `unsupported` when it is of
 * another release than the page's code
 */
export async function connect(options: ConnectOptions = {}): Promise<Spindle> {
  const { worker: given, startTimeoutMs = START_TIMEOUT_MS } = options;
  installErrorTransfer();
  const worker = startWorker(given);
  const terminate = (): void => {
    if (!(given instanceof Worker)) worker.terminate();
  };
  try {
    const link = await greet(worker, startTimeoutMs);
    return new Spindle(link, terminate);
  } catch (error) {
    terminate();
    throw error;
  }
}

function startWorker(given: ConnectOptions['worker']): Worker {
  try {
    if (given instanceof Worker) return given;
    if (typeof given === 'function') return given();
    if (given !== undefined) return new Worker(given, { type: 'module', name: 'spindle' });
    return new Worker(new URL('../worker/entry.ts', import.meta.url), { type: 'module', name: 'spindle' });
  } catch (cause) {
    throw new BlockError(
      'closed',
      'The worker could not be started: a worker of another origin, or one that the Content-Security-Policy forbids (worker-src), is refused',
      {},
      { cause },
    );
  }
}

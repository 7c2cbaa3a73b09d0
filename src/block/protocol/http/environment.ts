/** What requests need of the world, so that tests can bring their own time and chance. */
export interface HttpEnvironment {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds since 1970, for dates in headers. */
  readonly now: () => number;
  /** Waits, or rejects with the signal's reason when it aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** 0 up to 1. */
  readonly random: () => number;
}

export const realEnvironment: HttpEnvironment = {
  fetch: (url, init) => fetch(url, init),
  now: () => Date.now(),
  wait: waitFor,
  random: () => Math.random(),
};

function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}

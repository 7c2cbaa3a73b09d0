/**
 * Argon2 in a worker of its own: who uses other disks meanwhile does not wait, and the gigabyte that it takes is given back when the
 * worker is ended, at once, with all that was derived in it.
 */
import { argon2InWebAssembly, type Argon2, type Argon2Cost, type Argon2Type } from '../codec/argon2.ts';

/** What such a worker is asked, once. */
export interface Argon2Request {
  readonly type: Argon2Type;
  readonly password: Uint8Array;
  readonly salt: Uint8Array;
  readonly cost: Argon2Cost;
  readonly length: number;
}

export type Argon2Answer = { readonly key: Uint8Array } | { readonly problem: string };

/** Where no worker can be started from a worker, in this one. */
export const argon2InWorker: Argon2 = (type, password, salt, cost, length) => {
  const worker = startWorker();
  if (worker === undefined) return argon2InWebAssembly(type, password, salt, cost, length);
  return new Promise<Uint8Array>((resolve, reject) => {
    worker.addEventListener('message', ({ data }: MessageEvent<Argon2Answer>) => {
      if ('key' in data) resolve(data.key);
      else reject(new Error(data.problem));
    });
    // Its script could not be loaded: it tells everything else itself.
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      resolve(argon2InWebAssembly(type, password, salt, cost, length));
    });
    const request: Argon2Request = { type, password, salt, cost, length };
    worker.postMessage(request);
  }).finally(() => worker.terminate());
};

function startWorker(): Worker | undefined {
  try {
    return new Worker(new URL('./argon2-worker.ts', import.meta.url), { type: 'module', name: 'spindle argon2' });
  } catch {
    return undefined;
  }
}

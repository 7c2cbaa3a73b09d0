/** The entry of the worker that `argon2.ts` starts: it answers one request, and is ended. */
import { settle, startAsync } from '../block/co.ts';
import { argon2InWebAssembly } from '../codec/argon2.ts';
import type { Argon2Answer, Argon2Request } from './argon2.ts';

self.addEventListener('message', ({ data }: MessageEvent<Argon2Request>) => {
  const { type, password, salt, cost, length } = data;
  const answer = (value: Argon2Answer): void => self.postMessage(value);
  startAsync(settle(argon2InWebAssembly(type, password, salt, cost, length))).then(
    (key) => answer({ key }),
    (error: unknown) => answer({ problem: error instanceof Error ? error.message : String(error) }),
  );
});

/** Argon2 as Node has it from version 24.7 on: as fast as WebAssembly, and on a thread of its own. */
import type * as nodeCrypto from 'node:crypto';
import { createRequire } from 'node:module';
import { argon2InWebAssembly, type Argon2 } from '../codec/argon2.ts';

export const nodeArgon2: Argon2 = (type, password, salt, cost, length) => {
  const { argon2 } = createRequire(import.meta.url)('node:crypto') as Partial<typeof nodeCrypto>;
  if (argon2 === undefined) return argon2InWebAssembly(type, password, salt, cost, length);
  const { passes, memoryKiB: memory, lanes: parallelism } = cost;
  return new Promise((resolve, reject) => {
    argon2(type, { message: password, nonce: salt, passes, memory, parallelism, tagLength: length }, (error, key) => {
      if (error === null) resolve(new Uint8Array(key));
      else reject(error);
    });
  });
};

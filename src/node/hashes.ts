/** Digests as Node has them, and passphrases into keys on threads of its own. */
import { createRequire } from 'node:module';
import type * as nodeCrypto from 'node:crypto';
import { promisify } from 'node:util';
import { BlockError } from '../block/error.ts';
import { isQuick, type HashLibrary, type HashName } from '../codec/hash-library.ts';

/** Loaded with the first digest: it takes ten milliseconds, a fifth of what most commands take. */
const loadCrypto = (): typeof nodeCrypto => createRequire(import.meta.url)('node:crypto') as typeof nodeCrypto;

export const nodeHashes: HashLibrary = {
  digester(name) {
    const { createHash } = loadCrypto();
    return (target, ...parts) => {
      try {
        const hash = createHash(name);
        for (const part of parts) hash.update(part);
        target.set(hash.digest());
      } catch (error) {
        throw missing(name, error);
      }
    };
  },

  pbkdf2(name, password, salt, iterations, length) {
    if (!isQuick(name, iterations, length)) return pbkdf2OnThread(name, password, salt, iterations, length);
    try {
      return new Uint8Array(loadCrypto().pbkdf2Sync(password, salt, iterations, length, name));
    } catch (error) {
      throw missing(name, error);
    }
  },
};

async function pbkdf2OnThread(
  name: HashName,
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  length: number,
): Promise<Uint8Array> {
  try {
    return new Uint8Array(await promisify(loadCrypto().pbkdf2)(password, salt, iterations, length, name));
  } catch (error) {
    throw missing(name, error);
  }
}

/** Node can be built, or told, to do without some. */
function missing(name: HashName, cause: unknown): BlockError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BlockError('unsupported', `This Node cannot compute ${name} (${why})`, {}, { cause });
}

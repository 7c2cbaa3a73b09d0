/** Passphrases into keys: PBKDF2 with HMAC. Source: RFC 8018, section 5.2. */
import { settle, type Co, type MaybePromise } from '../block/co.ts';
import { hashLibrary, type HashName } from './hashes.ts';

/**
 * @param iterations 1 or more
 * @param length bytes of the key
 */
export function pbkdf2(
  hash: HashName,
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  length: number,
): MaybePromise<Uint8Array> {
  return hashLibrary().pbkdf2(hash, password, salt, iterations, length);
}

/** What is measured with: the answer must not depend on anything secret. */
const SAMPLE = new Uint8Array(32);

/**
 * How many iterations this machine does in a second for keys of that length.
 *
 * @param forMs measures at least so long: longer is truer
 */
export function* iterationsPerSecond(hash: HashName, length: number, forMs: number): Co<number> {
  for (let iterations = 4096; ; iterations *= 2) {
    const begun = performance.now();
    yield* settle(pbkdf2(hash, SAMPLE, SAMPLE, iterations, length));
    const elapsedMs = performance.now() - begun;
    if (elapsedMs >= forMs || iterations >= 2 ** 24) return (iterations * 1000) / Math.max(elapsedMs, 1);
  }
}

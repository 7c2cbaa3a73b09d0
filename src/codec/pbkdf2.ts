/**
 * Passphrases into keys: PBKDF2 with HMAC. Source: RFC 8018, section 5.2.
 *
 * WebCrypto does it several times as fast as JavaScript and beside the thread, with the hashes that it knows; the others, and
 * where there is no WebCrypto (pages that are not secure), are computed here in slices of time.
 */
import { pbkdf2 as derive, pbkdf2Async as deriveInSlices } from '@noble/hashes/pbkdf2.js';
import { settle, start, type Co, type MaybePromise } from '../block/co.ts';
import { digestLength, hashFunction, type HashName } from './hashes.ts';

const WEB_NAMES: Partial<Record<HashName, string>> = {
  sha1: 'SHA-1',
  sha256: 'SHA-256',
  sha384: 'SHA-384',
  sha512: 'SHA-512',
};

/** So little work that it is done at once: some milliseconds. */
const AT_ONCE = 4096;
/** JavaScript lets others run after so many milliseconds. */
const SLICE_MS = 8;

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
  const rounds = iterations * Math.ceil(length / digestLength(hash));
  if (rounds <= AT_ONCE) return derive(hashFunction(hash), password, salt, { c: iterations, dkLen: length });
  const webName = WEB_NAMES[hash];
  // Some browsers refuse a key of no bytes.
  if (webName !== undefined && password.length > 0 && hasWebCrypto()) {
    return start(deriveWithWebCrypto(webName, password, salt, iterations, length));
  }
  return deriveInSlices(hashFunction(hash), password, salt, { c: iterations, dkLen: length, asyncTick: SLICE_MS });
}

function hasWebCrypto(): boolean {
  return (crypto as { subtle?: unknown } | undefined)?.subtle !== undefined;
}

function* deriveWithWebCrypto(
  hash: string,
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  length: number,
): Co<Uint8Array> {
  const key = yield* settle(crypto.subtle.importKey('raw', password.slice(), 'PBKDF2', false, ['deriveBits']));
  const algorithm = { name: 'PBKDF2', hash, salt: salt.slice(), iterations } as const;
  return new Uint8Array(yield* settle(crypto.subtle.deriveBits(algorithm, key, length * 8)));
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

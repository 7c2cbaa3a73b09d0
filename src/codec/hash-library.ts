/** What digests are called, and what makes them. */
import type { MaybePromise } from '../block/co.ts';

/** Bytes of a digest, by the names that QEMU and LUKS headers use. */
export const DIGEST_BYTES = {
  md5: 16,
  sha1: 20,
  sha224: 28,
  sha256: 32,
  sha384: 48,
  sha512: 64,
  ripemd160: 20,
} as const;

export type HashName = keyof typeof DIGEST_BYTES;

/** Puts the digest of all parts, one after another, into `target`, which has just its length. */
export type Digester = (target: Uint8Array, ...parts: readonly Uint8Array[]) => void;

export interface HashLibrary {
  /** For any number of digests. */
  digester(name: HashName): Digester;
  /**
   * PBKDF2 with HMAC. Source: RFC 8018, section 5.2.
   *
   * @param iterations 1 or more
   * @param length bytes of the key
   */
  pbkdf2(
    name: HashName,
    password: Uint8Array,
    salt: Uint8Array,
    iterations: number,
    length: number,
  ): MaybePromise<Uint8Array>;
}

/** So few rounds of PBKDF2 that they are done at once: some milliseconds. */
const AT_ONCE = 4096;

/** Whether a key takes so little work that it is not worth a wait. @param length bytes of the key */
export function isQuick(name: HashName, iterations: number, length: number): boolean {
  return iterations * Math.ceil(length / DIGEST_BYTES[name]) <= AT_ONCE;
}

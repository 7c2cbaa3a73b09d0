/**
 * Digests in JavaScript, for pages and workers. WebCrypto has no digest that is there at once; passphrases into keys it does several
 * times as fast, and beside the thread, with the hashes that it knows. The others, and where there is no WebCrypto (pages that are
 * not secure), are computed here in slices of time.
 */
import { md5, ripemd160, sha1 } from '@noble/hashes/legacy.js';
import { pbkdf2, pbkdf2Async } from '@noble/hashes/pbkdf2.js';
import { sha224, sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import type { Hash } from '@noble/hashes/utils.js';
import { settle, start, type Co } from '../block/co.ts';
import { isQuick, type HashLibrary, type HashName } from './hash-library.ts';

const hashes = { md5, sha1, sha224, sha256, sha384, sha512, ripemd160 } as const;

const WEB_NAMES: Partial<Record<HashName, string>> = {
  sha1: 'SHA-1',
  sha256: 'SHA-256',
  sha384: 'SHA-384',
  sha512: 'SHA-512',
};

/** Others run after so many milliseconds. */
const SLICE_MS = 8;

/** What noble's hashes can do beside hashing. */
interface ReusableHash extends Hash<ReusableHash> {}

export const javaScriptHashes: HashLibrary = {
  digester(name) {
    // One hash is started anew for each digest, which costs less than making another.
    const blank: ReusableHash = hashes[name].create();
    const hash = blank.clone();
    return (target, ...parts) => {
      // oxlint-disable-next-line no-underscore-dangle -- noble names it so, and documents it
      blank._cloneInto(hash);
      for (const part of parts) hash.update(part);
      hash.digestInto(target);
    };
  },

  pbkdf2(name, password, salt, iterations, length) {
    const options = { c: iterations, dkLen: length };
    if (isQuick(name, iterations, length)) return pbkdf2(hashes[name], password, salt, options);
    const webName = WEB_NAMES[name];
    // Some browsers refuse a key of no bytes.
    if (webName !== undefined && password.length > 0 && hasWebCrypto()) {
      return start(pbkdf2WithWebCrypto(webName, password, salt, iterations, length));
    }
    return pbkdf2Async(hashes[name], password, salt, { ...options, asyncTick: SLICE_MS });
  },
};

function hasWebCrypto(): boolean {
  return (crypto as { subtle?: unknown } | undefined)?.subtle !== undefined;
}

function* pbkdf2WithWebCrypto(
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

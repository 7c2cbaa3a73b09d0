/**
 * Anti-forensic splitting: a key is stored as many stripes, all of which are needed to get it back, so that destroying any of
 * them destroys it. Source: LUKS On-Disk Format Specification, "Anti-forensic splitter".
 */
import { digest, digestLength, type HashName } from '../../../codec/hashes.ts';
import { STRIPES } from './layout.ts';

/**
 * @param random fills a part of the result with random bytes
 * @returns 4000 stripes, each as long as the key
 */
export function splitKey(
  key: Uint8Array,
  hash: HashName,
  random: (bytes: Uint8Array<ArrayBuffer>) => void,
): Uint8Array {
  const stripes = new Uint8Array(key.length * STRIPES);
  const last = stripes.subarray(key.length * (STRIPES - 1));
  random(stripes.subarray(0, stripes.length - key.length));
  const mixed = mixStripes(stripes, key.length, hash);
  for (let index = 0; index < key.length; index++) last[index] = key[index]! ^ mixed[index]!;
  return stripes;
}

/** @param stripes as `splitKey` made them, or longer */
export function mergeKey(stripes: Uint8Array, keyBytes: number, hash: HashName): Uint8Array {
  const key = mixStripes(stripes, keyBytes, hash);
  const last = keyBytes * (STRIPES - 1);
  for (let index = 0; index < keyBytes; index++) key[index]! ^= stripes[last + index]!;
  return key;
}

/** All stripes but the last one, mixed. */
function mixStripes(stripes: Uint8Array, keyBytes: number, hash: HashName): Uint8Array {
  const mixed = new Uint8Array(keyBytes);
  for (let stripe = 0; stripe < STRIPES - 1; stripe++) {
    const at = stripe * keyBytes;
    for (let index = 0; index < keyBytes; index++) mixed[index]! ^= stripes[at + index]!;
    diffuse(mixed, hash);
  }
  return mixed;
}

/** Replaces each piece of a digest's length with the digest of its number and itself. */
function diffuse(bytes: Uint8Array, hash: HashName): void {
  const length = digestLength(hash);
  const number = new Uint8Array(4);
  for (let piece = 0, at = 0; at < bytes.length; piece++, at += length) {
    number[3] = piece;
    const part = bytes.subarray(at, at + length);
    part.set(digest(hash, number, part).subarray(0, part.length));
  }
}

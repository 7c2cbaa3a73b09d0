/**
 * Anti-forensic splitting: a key is stored as many stripes, all of which are needed to get it back, so that destroying any of
 * them destroys it. Source: LUKS On-Disk Format Specification, "Anti-forensic splitter".
 */
import { digester, digestLength, type HashName } from '../../../codec/hashes.ts';
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
  const diffuse = diffuser(mixed, hash);
  for (let stripe = 0; stripe < STRIPES - 1; stripe++) {
    const at = stripe * keyBytes;
    for (let index = 0; index < keyBytes; index++) mixed[index]! ^= stripes[at + index]!;
    diffuse();
  }
  return mixed;
}

/** @returns what replaces each piece of a digest's length with the digest of its number and itself */
function diffuser(bytes: Uint8Array, hash: HashName): () => void {
  const length = digestLength(hash);
  const digestInto = digester(hash);
  const result = new Uint8Array(length);
  const pieces = Array.from({ length: Math.ceil(bytes.length / length) }, (_, piece) => {
    const part = bytes.subarray(piece * length, (piece + 1) * length);
    return { number: Uint8Array.of(0, 0, 0, piece), part, digest: result.subarray(0, part.length) };
  });
  return () => {
    for (const { number, part, digest } of pieces) {
      digestInto(result, number, part);
      part.set(digest);
    }
  };
}

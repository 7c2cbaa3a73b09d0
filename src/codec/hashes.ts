/** Digests by QEMU's names. */
import { md5, ripemd160, sha1 } from '@noble/hashes/legacy.js';
import type { Hash } from '@noble/hashes/utils.js';
import { sha224, sha256, sha384, sha512 } from '@noble/hashes/sha2.js';

/** By the names that QEMU and LUKS headers use. */
const hashes = { md5, sha1, sha224, sha256, sha384, sha512, ripemd160 } as const;

export type HashName = keyof typeof hashes;

export const HASH_NAMES = Object.keys(hashes) as readonly HashName[];

export function isHashName(name: string): name is HashName {
  return Object.hasOwn(hashes, name);
}

/** What noble's key derivation takes. */
export function hashFunction(name: HashName): (typeof hashes)[HashName] {
  return hashes[name];
}

/** The digest of all parts, one after another. */
export function digest(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = hashes[name].create();
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** What noble's hashes can do beside hashing. */
interface ReusableHash extends Hash<ReusableHash> {}

/** Puts the digest of all parts into `target`, which has `digestLength` bytes. */
export type Digester = (target: Uint8Array, ...parts: readonly Uint8Array[]) => void;

/** For many digests in a row: one hash is started anew for each, which costs less than making another. */
export function digester(name: HashName): Digester {
  const blank: ReusableHash = hashes[name].create();
  const hash = blank.clone();
  return (target, ...parts) => {
    // oxlint-disable-next-line no-underscore-dangle -- noble names it so, and documents it
    blank._cloneInto(hash);
    for (const part of parts) hash.update(part);
    hash.digestInto(target);
  };
}

/** Bytes. */
export function digestLength(name: HashName): number {
  return hashes[name].outputLen;
}

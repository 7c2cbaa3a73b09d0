/** Digests by QEMU's names. In JavaScript unless the host has something faster and says so with `useHashes`. */
import { DIGEST_BYTES, type Digester, type HashLibrary, type HashName } from './hash-library.ts';
import { javaScriptHashes } from './javascript-hashes.ts';

export type { HashName };

export const HASH_NAMES = Object.keys(DIGEST_BYTES) as readonly HashName[];

export function isHashName(name: string): name is HashName {
  return Object.hasOwn(DIGEST_BYTES, name);
}

let library = javaScriptHashes;

/** Makes what is computed from now on come from the host's library; undefined: from the one in JavaScript. */
export function useHashes(host: HashLibrary | undefined): void {
  library = host ?? javaScriptHashes;
}

export function hashLibrary(): HashLibrary {
  return library;
}

/** The digest of all parts, one after another. */
export function digest(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(DIGEST_BYTES[name]);
  library.digester(name)(result, ...parts);
  return result;
}

/** For many digests in a row. */
export function digester(name: HashName): Digester {
  return library.digester(name);
}

/** Bytes. */
export function digestLength(name: HashName): number {
  return DIGEST_BYTES[name];
}

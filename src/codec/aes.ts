/**
 * AES over many blocks at once: what every mode of disk encryption is made of. Source: FIPS 197.
 *
 * Plain JavaScript unless the host has something faster and says so with `useAes`: a browser's WebCrypto has no way to encrypt
 * single blocks, Node has.
 */
import { ecb } from '@noble/ciphers/aes.js';

export const AES_BLOCK = 16;

export interface BlockCipher {
  /** Encrypts every 16-byte block by itself, in place. @param blocks a multiple of 16 bytes, at an offset that is a multiple of 4 */
  encryptBlocks(blocks: Uint8Array): void;
  decryptBlocks(blocks: Uint8Array): void;
}

/** @param key 16, 24 or 32 bytes */
export type AesFactory = (key: Uint8Array) => BlockCipher;

const inJavaScript: AesFactory = (key) => {
  const own = key.slice();
  return {
    encryptBlocks(blocks) {
      ecb(own, { disablePadding: true }).encrypt(blocks, blocks);
    },
    decryptBlocks(blocks) {
      ecb(own, { disablePadding: true }).decrypt(blocks, blocks);
    },
  };
};

let factory: AesFactory = inJavaScript;

/** Makes the ciphers that are created from now on use an implementation of the host's; undefined: the one in JavaScript. */
export function useAes(implementation: AesFactory | undefined): void {
  factory = implementation ?? inJavaScript;
}

/** @param key 16, 24 or 32 bytes; a copy of it is kept */
export function aes(key: Uint8Array): BlockCipher {
  return factory(key);
}

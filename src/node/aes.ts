/** AES as Node has it: many times as fast as JavaScript. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { AesFactory } from '../codec/aes.ts';

export const nodeAes: AesFactory = (key) => {
  // Blocks by themselves need no state, so one of each does for all.
  const name = `aes-${key.length * 8}-ecb`;
  const encryptor = createCipheriv(name, key, null).setAutoPadding(false);
  const decryptor = createDecipheriv(name, key, null).setAutoPadding(false);
  return {
    encryptBlocks: (blocks) => blocks.set(encryptor.update(blocks)),
    decryptBlocks: (blocks) => blocks.set(decryptor.update(blocks)),
  };
};

/**
 * How AES encrypts sectors: each with an initialisation vector of its own, many sectors in one call. All modes are reduced to
 * encrypting a batch of blocks, which is what a fast implementation of AES can do best.
 *
 * Sources: IEEE 1619 (XTS); NIST SP 800-38A (ECB, CBC, CTR).
 */
import { aes, AES_BLOCK, type BlockCipher } from './aes.ts';

export const SECTOR_MODES = ['ecb', 'cbc', 'ctr', 'xts'] as const;
export type SectorMode = (typeof SECTOR_MODES)[number];

/** Encrypts and decrypts whole sectors in place. */
export interface SectorCoder {
  /**
   * @param data whole sectors, at an offset that is a multiple of 4
   * @param ivs 16 bytes for each sector; destroyed
   */
  encrypt(data: Uint8Array, ivs: Uint8Array): void;
  decrypt(data: Uint8Array, ivs: Uint8Array): void;
}

/**
 * @param key of 16, 24 or 32 bytes, for XTS twice as many: the second half is for the tweaks
 * @param sectorSize bytes, a multiple of 16
 */
export function sectorCoder(mode: SectorMode, key: Uint8Array, sectorSize: number): SectorCoder {
  switch (mode) {
    case 'ecb':
      return new EcbCoder(aes(key));
    case 'cbc':
      return new CbcCoder(aes(key), sectorSize);
    case 'ctr':
      return new CtrCoder(aes(key), sectorSize);
    case 'xts':
      return new XtsCoder(aes(key.subarray(0, key.length / 2)), aes(key.subarray(key.length / 2)), sectorSize);
  }
}

/** 32-bit words of a block. */
const WORDS = AES_BLOCK / 4;

function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

function xor(data: Uint32Array, mask: Uint32Array): void {
  // The index is inside both by the loop's condition; the `!` costs nothing at run time.
  for (let word = 0; word < data.length; word++) data[word]! ^= mask[word]!;
}

class EcbCoder implements SectorCoder {
  readonly #cipher: BlockCipher;

  constructor(cipher: BlockCipher) {
    this.#cipher = cipher;
  }

  encrypt(data: Uint8Array): void {
    this.#cipher.encryptBlocks(data);
  }

  decrypt(data: Uint8Array): void {
    this.#cipher.decryptBlocks(data);
  }
}

class XtsCoder implements SectorCoder {
  readonly #cipher: BlockCipher;
  readonly #tweakCipher: BlockCipher;
  readonly #sectorSize: number;
  #tweaks = new Uint32Array(0);

  constructor(cipher: BlockCipher, tweakCipher: BlockCipher, sectorSize: number) {
    this.#cipher = cipher;
    this.#tweakCipher = tweakCipher;
    this.#sectorSize = sectorSize;
  }

  encrypt(data: Uint8Array, ivs: Uint8Array): void {
    const [words, tweaks] = this.#whiten(data, ivs);
    this.#cipher.encryptBlocks(data);
    xor(words, tweaks);
  }

  decrypt(data: Uint8Array, ivs: Uint8Array): void {
    const [words, tweaks] = this.#whiten(data, ivs);
    this.#cipher.decryptBlocks(data);
    xor(words, tweaks);
  }

  #whiten(data: Uint8Array, ivs: Uint8Array): [Uint32Array, Uint32Array] {
    const words = wordsOf(data);
    if (this.#tweaks.length < words.length) this.#tweaks = new Uint32Array(words.length);
    const tweaks = this.#tweaks;
    this.#tweakCipher.encryptBlocks(ivs);
    multiplyTweaks(wordsOf(ivs), tweaks, this.#sectorSize / 4, words.length);
    xor(words, tweaks);
    return [words, tweaks];
  }
}

/**
 * The tweak of each block is that of the one before times x in GF(2^128), little-endian, modulo x^128 + x^7 + x^2 + x + 1.
 * Words are little-endian, as on every machine that JavaScript runs on.
 */
function multiplyTweaks(firsts: Uint32Array, tweaks: Uint32Array, perSector: number, total: number): void {
  for (let sector = 0, at = 0; at < total; sector += WORDS) {
    let t0 = firsts[sector]!;
    let t1 = firsts[sector + 1]!;
    let t2 = firsts[sector + 2]!;
    let t3 = firsts[sector + 3]!;
    for (const end = at + perSector; at < end; at += WORDS) {
      tweaks[at] = t0;
      tweaks[at + 1] = t1;
      tweaks[at + 2] = t2;
      tweaks[at + 3] = t3;
      const carry = (t3 >>> 31) * 0x87;
      t3 = (t3 << 1) | (t2 >>> 31);
      t2 = (t2 << 1) | (t1 >>> 31);
      t1 = (t1 << 1) | (t0 >>> 31);
      t0 = (t0 << 1) ^ carry;
    }
  }
}

class CbcCoder implements SectorCoder {
  readonly #cipher: BlockCipher;
  readonly #sectorSize: number;
  #scratch = new Uint8Array(0);

  constructor(cipher: BlockCipher, sectorSize: number) {
    this.#cipher = cipher;
    this.#sectorSize = sectorSize;
  }

  /** The blocks of a sector depend on each other, those of different sectors do not: a batch is one block of each. */
  encrypt(data: Uint8Array, ivs: Uint8Array): void {
    const words = wordsOf(data);
    const column = wordsOf(ivs);
    const perSector = this.#sectorSize / 4;
    for (let block = 0; block < perSector; block += WORDS) {
      for (let at = block, into = 0; at < words.length; at += perSector, into += WORDS) {
        for (let word = 0; word < WORDS; word++) column[into + word]! ^= words[at + word]!;
      }
      this.#cipher.encryptBlocks(ivs);
      for (let at = block, from = 0; at < words.length; at += perSector, from += WORDS) {
        for (let word = 0; word < WORDS; word++) words[at + word] = column[from + word]!;
      }
    }
  }

  decrypt(data: Uint8Array, ivs: Uint8Array): void {
    const before = this.#previousBlocks(data, ivs);
    this.#cipher.decryptBlocks(data);
    xor(wordsOf(data), wordsOf(before));
  }

  #previousBlocks(data: Uint8Array, ivs: Uint8Array): Uint8Array {
    if (this.#scratch.length < data.length) this.#scratch = new Uint8Array(data.length);
    const before = this.#scratch.subarray(0, data.length);
    before.set(data.subarray(0, data.length - AES_BLOCK), AES_BLOCK);
    for (let at = 0, iv = 0; at < data.length; at += this.#sectorSize, iv += AES_BLOCK) {
      before.set(ivs.subarray(iv, iv + AES_BLOCK), at);
    }
    return before;
  }
}

class CtrCoder implements SectorCoder {
  readonly #cipher: BlockCipher;
  readonly #sectorSize: number;
  #stream = new Uint8Array(0);

  constructor(cipher: BlockCipher, sectorSize: number) {
    this.#cipher = cipher;
    this.#sectorSize = sectorSize;
  }

  encrypt(data: Uint8Array, ivs: Uint8Array): void {
    if (this.#stream.length < data.length) this.#stream = new Uint8Array(data.length);
    const stream = this.#stream.subarray(0, data.length);
    for (let at = 0; at < data.length; at += AES_BLOCK) {
      const first = Math.floor(at / this.#sectorSize) * AES_BLOCK;
      const counter = ivs.subarray(first, first + AES_BLOCK);
      stream.set(counter, at);
      increment(counter);
    }
    this.#cipher.encryptBlocks(stream);
    xor(wordsOf(data), wordsOf(stream));
  }

  decrypt(data: Uint8Array, ivs: Uint8Array): void {
    this.encrypt(data, ivs);
  }
}

/** The counter is a big-endian number of 128 bits. */
function increment(counter: Uint8Array): void {
  for (let index = AES_BLOCK - 1; index >= 0; index--) {
    counter[index]!++;
    if (counter[index] !== 0) return;
  }
}

/** Encrypts and decrypts the sectors of one volume. */
import { AES_BLOCK } from '../../codec/aes.ts';
import { ivGenerator, type IvGenerator } from '../../codec/iv-generators.ts';
import { sectorCoder, type SectorCoder } from '../../codec/sector-modes.ts';
import { SECTOR_SIZE } from '../limits.ts';
import type { CipherSpec } from './cipher-spec.ts';
import type { VolumeCipher } from './locked.ts';

/** What is worked on at once: the scratch memory of a mode is as large. */
const CHUNK_BYTES = 64 * 1024;

/** What only some volumes have otherwise. */
export interface SectorLayout {
  /** Bytes that are encrypted as one, a power of two. */
  readonly sectorSize: number;
  /** Added to the number of each sector before its vector is made of it. */
  readonly ivTweak: number;
}

export class SectorCipher implements VolumeCipher {
  readonly sectorSize: number;
  readonly #ivTweak: number;
  readonly #coder: SectorCoder;
  readonly #generate: IvGenerator;
  readonly #ivs = new Uint8Array((CHUNK_BYTES / SECTOR_SIZE) * AES_BLOCK);
  #aligned: Uint8Array | undefined;

  /** @param key as long as `keyBytesOf` says. @throws BlockError `unsupported` for a hash that `essiv` cannot use */
  constructor(spec: CipherSpec, key: Uint8Array, layout: Partial<SectorLayout> = {}) {
    const { sectorSize = SECTOR_SIZE, ivTweak = 0 } = layout;
    this.sectorSize = sectorSize;
    this.#ivTweak = ivTweak;
    this.#coder = sectorCoder(spec.mode, key, sectorSize);
    this.#generate = ivGenerator(spec.ivGenerator, key, spec.ivHash ?? 'sha256');
  }

  /**
   * Encrypts whole sectors in place.
   *
   * @param sector where the first one begins, in units of 512 bytes, however large sectors are: so dm-crypt counts them
   */
  encrypt(sector: number, data: Uint8Array): void {
    this.#apply(sector, data, (chunk, ivs) => this.#coder.encrypt(chunk, ivs));
  }

  decrypt(sector: number, data: Uint8Array): void {
    this.#apply(sector, data, (chunk, ivs) => this.#coder.decrypt(chunk, ivs));
  }

  #apply(sector: number, data: Uint8Array, code: (chunk: Uint8Array, ivs: Uint8Array) => void): void {
    for (let done = 0; done < data.length; done += CHUNK_BYTES) {
      const chunk = data.subarray(done, done + CHUNK_BYTES);
      const ivs = this.#ivs.subarray(0, (chunk.length / this.sectorSize) * AES_BLOCK);
      this.#generate(this.#ivTweak + sector + done / SECTOR_SIZE, ivs, this.sectorSize / SECTOR_SIZE);
      if (chunk.byteOffset % 4 === 0) {
        code(chunk, ivs);
        continue;
      }
      // The ciphers work on words, and a caller's buffer may begin anywhere.
      this.#aligned ??= new Uint8Array(CHUNK_BYTES);
      const aligned = this.#aligned.subarray(0, chunk.length);
      aligned.set(chunk);
      code(aligned, ivs);
      chunk.set(aligned);
    }
  }
}

/** Encrypts and decrypts the sectors of one volume. */
import { AES_BLOCK } from '../../codec/aes.ts';
import { ivGenerator, type IvGenerator } from '../../codec/iv-generators.ts';
import { sectorCoder, type SectorCoder } from '../../codec/sector-modes.ts';
import { SECTOR_SIZE } from '../limits.ts';
import type { CipherSpec } from './cipher-spec.ts';
import type { VolumeCipher } from './locked.ts';

/** What is worked on at once: the scratch memory of a mode is as large. */
const CHUNK_BYTES = 64 * 1024;

export class SectorCipher implements VolumeCipher {
  readonly #coder: SectorCoder;
  readonly #generate: IvGenerator;
  readonly #ivs = new Uint8Array((CHUNK_BYTES / SECTOR_SIZE) * AES_BLOCK);
  #aligned: Uint8Array | undefined;

  /** @param key as long as `keyBytesOf` says. @throws BlockError `unsupported` for a hash that `essiv` cannot use */
  constructor(spec: CipherSpec, key: Uint8Array) {
    this.#coder = sectorCoder(spec.mode, key, SECTOR_SIZE);
    this.#generate = ivGenerator(spec.ivGenerator, key, spec.ivHash ?? 'sha256');
  }

  /** Encrypts whole sectors in place. @param sector number of the first one */
  encrypt(sector: number, data: Uint8Array): void {
    this.#apply(sector, data, (chunk, ivs) => this.#coder.encrypt(chunk, ivs));
  }

  decrypt(sector: number, data: Uint8Array): void {
    this.#apply(sector, data, (chunk, ivs) => this.#coder.decrypt(chunk, ivs));
  }

  #apply(sector: number, data: Uint8Array, code: (chunk: Uint8Array, ivs: Uint8Array) => void): void {
    for (let done = 0; done < data.length; done += CHUNK_BYTES) {
      const chunk = data.subarray(done, done + CHUNK_BYTES);
      const ivs = this.#ivs.subarray(0, (chunk.length / SECTOR_SIZE) * AES_BLOCK);
      this.#generate(sector + done / SECTOR_SIZE, ivs);
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

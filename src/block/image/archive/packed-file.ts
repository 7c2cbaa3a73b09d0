import type { ByteSource } from '../../../codec/byte-source.ts';
import { chain, type MaybePromise } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';

const PIECE_BYTES = 256 * 1024;

/** A range of a file as a stream. */
export class PackedFile implements ByteSource {
  readonly #file: BlockChild;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  readonly #end: number;
  #at: number;

  constructor(file: BlockChild, offset: number, length: number) {
    this.#file = file;
    this.#at = offset;
    this.#end = offset + length;
  }

  /** Where in the file the next piece begins. */
  get position(): number {
    return this.#at;
  }

  next(): MaybePromise<Uint8Array | undefined> {
    const length = Math.min(PIECE_BYTES, this.#end - this.#at);
    if (length === 0) return undefined;
    const piece = this.#piece.subarray(0, length);
    return chain(this.#file.read(this.#at, piece), () => {
      this.#at += length;
      return piece;
    });
  }
}

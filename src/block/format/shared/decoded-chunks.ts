/** Chunks of a compressed image that is only read. They are decoded whole, so the last ones are kept: most reads ask for a part. */
import { CoMutex, start, type Co, type MaybePromise } from '../../co.ts';

export class DecodedChunks {
  readonly #decode: (index: number) => Co<Uint8Array>;
  readonly #maxBytes: number;
  readonly #maxChunks: number;
  /** The one that was used last at the end. */
  readonly #kept = new Map<number, Uint8Array>();
  readonly #mutex = new CoMutex();
  #bytes = 0;

  /**
   * @param decode gives the bytes of a chunk, a new array
   * @param maxBytes of all kept chunks together; the last one is kept whatever its size
   */
  constructor(decode: (index: number) => Co<Uint8Array>, maxBytes: number, maxChunks: number) {
    this.#decode = decode;
    this.#maxBytes = maxBytes;
    this.#maxChunks = maxChunks;
  }

  /** @param at where in the chunk the buffer's bytes are */
  read(index: number, at: number, buffer: Uint8Array): MaybePromise<void> {
    const kept = this.#find(index);
    if (kept === undefined) return start(this.#readDecoded(index, at, buffer));
    buffer.set(kept.subarray(at, at + buffer.length));
  }

  /** One chunk is decoded at a time: so no more than one is in memory besides those that are kept, and none is decoded twice. */
  *#readDecoded(index: number, at: number, buffer: Uint8Array): Co<void> {
    const bytes = yield* this.#mutex.run(() => this.#load(index));
    buffer.set(bytes.subarray(at, at + buffer.length));
  }

  *#load(index: number): Co<Uint8Array> {
    const kept = this.#find(index);
    if (kept !== undefined) return kept;
    const bytes = yield* this.#decode(index);
    this.#kept.set(index, bytes);
    this.#bytes += bytes.length;
    this.#trim();
    return bytes;
  }

  #find(index: number): Uint8Array | undefined {
    const bytes = this.#kept.get(index);
    if (bytes === undefined) return undefined;
    this.#kept.delete(index);
    this.#kept.set(index, bytes);
    return bytes;
  }

  #trim(): void {
    for (const [index, bytes] of this.#kept) {
      const fits = this.#bytes <= this.#maxBytes && this.#kept.size <= this.#maxChunks;
      if (fits || this.#kept.size === 1) return;
      this.#kept.delete(index);
      this.#bytes -= bytes.length;
    }
  }
}

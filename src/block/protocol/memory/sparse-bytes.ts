/** Bytes that grow, in chunks that exist only where something was written. */

/** Small enough that a scattered metadata write costs little memory, large enough that a big read is few copies. */
export const CHUNK_BYTES = 65536;

/** `holeLength` looks at no more chunks than this in one call, so that it takes no time over a huge hole. */
const MAX_CHUNKS_LOOKED_AT = 16384;

export class SparseBytes {
  #length: number;
  readonly #chunks = new Map<number, Uint8Array>();

  /** @param length bytes, all zero. */
  constructor(length: number) {
    this.#length = length;
  }

  get length(): number {
    return this.#length;
  }

  /** Bytes of memory that the chunks take. */
  get allocated(): number {
    return this.#chunks.size * CHUNK_BYTES;
  }

  /** Fills the buffer; holes and what is past the end are zero. */
  read(offset: number, buffer: Uint8Array): void {
    let done = 0;
    while (done < buffer.length) {
      const at = offset + done;
      const index = Math.floor(at / CHUNK_BYTES);
      const start = at - index * CHUNK_BYTES;
      const count = Math.min(CHUNK_BYTES - start, buffer.length - done);
      const chunk = this.#chunks.get(index);
      if (chunk === undefined) buffer.fill(0, done, done + count);
      else buffer.set(chunk.subarray(start, start + count), done);
      done += count;
    }
  }

  /**
   * Copies the data in; past the end it grows.
   *
   * @throws RangeError when there is no memory for a chunk; the length is then what it was
   */
  write(offset: number, data: Uint8Array): void {
    let done = 0;
    while (done < data.length) {
      const at = offset + done;
      const index = Math.floor(at / CHUNK_BYTES);
      const start = at - index * CHUNK_BYTES;
      const count = Math.min(CHUNK_BYTES - start, data.length - done);
      this.#chunkFor(index).set(data.subarray(done, done + count), start);
      done += count;
    }
    if (done > 0) this.#length = Math.max(this.#length, offset + done);
  }

  /** Makes a range zero and frees the chunks that lie in it whole. Does not grow. */
  zero(offset: number, length: number): void {
    const end = Math.min(offset + length, this.#length);
    if (end <= offset) return;
    const firstWhole = Math.ceil(offset / CHUNK_BYTES);
    // The last chunk counts as whole when everything in it up to the end of the file goes.
    const endWhole = end === this.#length ? Math.ceil(end / CHUNK_BYTES) : Math.floor(end / CHUNK_BYTES);
    this.#dropChunks(firstWhole, endWhole);
    this.#zeroPart(offset, Math.min(end, firstWhole * CHUNK_BYTES));
    if (endWhole >= firstWhole) this.#zeroPart(endWhole * CHUNK_BYTES, end);
  }

  /** Cuts, or grows with zeroes. */
  resize(length: number): void {
    if (length < this.#length) this.zero(length, this.#length - length);
    this.#length = length;
  }

  /** Whether the chunk at an offset is a hole, and how far from there on, at most `length`, chunks are alike. */
  status(offset: number, length: number): { readonly zero: boolean; readonly length: number } {
    if (offset >= this.#length || this.#chunks.size === 0) return { zero: true, length };
    const first = Math.floor(offset / CHUNK_BYTES);
    const zero = !this.#chunks.has(first);
    let next = first + 1;
    while (
      next * CHUNK_BYTES < offset + length &&
      next - first < MAX_CHUNKS_LOOKED_AT &&
      this.#chunks.has(next) !== zero
    ) {
      next++;
    }
    return { zero, length: Math.min(next * CHUNK_BYTES - offset, length) };
  }

  #chunkFor(index: number): Uint8Array {
    let chunk = this.#chunks.get(index);
    if (chunk === undefined) {
      chunk = new Uint8Array(CHUNK_BYTES);
      this.#chunks.set(index, chunk);
    }
    return chunk;
  }

  #dropChunks(first: number, end: number): void {
    if (end - first <= this.#chunks.size) {
      for (let index = first; index < end; index++) this.#chunks.delete(index);
      return;
    }
    for (const index of this.#chunks.keys()) {
      if (index >= first && index < end) this.#chunks.delete(index);
    }
  }

  /** Zeroes a range that lies in one chunk, if there is that chunk. */
  #zeroPart(offset: number, end: number): void {
    if (end <= offset) return;
    const index = Math.floor(offset / CHUNK_BYTES);
    const start = index * CHUNK_BYTES;
    this.#chunks.get(index)?.fill(0, offset - start, end - start);
  }
}

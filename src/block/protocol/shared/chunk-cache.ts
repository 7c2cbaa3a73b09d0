/** Chunks by number, the least recently used ones forgotten when they take too much memory. */
export class ChunkCache {
  readonly #maxBytes: number;
  readonly #chunks = new Map<number, Uint8Array>();
  #bytes = 0;

  /** @param maxBytes the newest chunk is kept even when it alone is more */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  has(index: number): boolean {
    return this.#chunks.has(index);
  }

  /** The chunk, which counts as used now. */
  get(index: number): Uint8Array | undefined {
    const chunk = this.#chunks.get(index);
    if (chunk === undefined) return undefined;
    this.#chunks.delete(index);
    this.#chunks.set(index, chunk);
    return chunk;
  }

  /** @param chunk owns its whole memory: a view of something larger would keep all of that alive */
  put(index: number, chunk: Uint8Array): void {
    this.delete(index);
    this.#chunks.set(index, chunk);
    this.#bytes += chunk.length;
    for (const oldest of this.#chunks.keys()) {
      if (this.#bytes <= this.#maxBytes || oldest === index) break;
      this.delete(oldest);
    }
  }

  delete(index: number): void {
    const chunk = this.#chunks.get(index);
    if (chunk === undefined) return;
    this.#chunks.delete(index);
    this.#bytes -= chunk.length;
  }

  clear(): void {
    this.#chunks.clear();
    this.#bytes = 0;
  }
}

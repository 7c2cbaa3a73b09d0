import type { ChunkChange } from './disk-store.ts';

/**
 * Changes that are not in the database yet: those that gather, and those that are being committed. A commit that fails puts its
 * changes back among the others, so nothing that was acknowledged is lost.
 */
export class PendingChanges {
  readonly #chunkBytes: number;
  #gathering = new Map<number, ChunkChange>();
  #committing = new Map<number, ChunkChange>();
  /** Chunks with bytes among those that gather. */
  #gatheringChunks = 0;

  constructor(chunkBytes: number) {
    this.#chunkBytes = chunkBytes;
  }

  /** Bytes of chunks that gather. */
  get bytes(): number {
    return this.#gatheringChunks * this.#chunkBytes;
  }

  /** The newest change of a chunk, not to be written into. */
  get(index: number): ChunkChange | undefined {
    return this.#gathering.get(index) ?? this.#committing.get(index);
  }

  /** The chunk's bytes to write into, if a change with bytes is pending. */
  editable(index: number): Uint8Array | undefined {
    const gathering = this.#gathering.get(index);
    if (gathering !== undefined) return gathering === 'zeroes' ? undefined : gathering;
    const committing = this.#committing.get(index);
    if (committing === undefined || committing === 'zeroes') return undefined;
    // The commit may fail or succeed with the bytes it has; what is written now belongs to the next one.
    const copy = committing.slice();
    this.set(index, copy);
    return copy;
  }

  set(index: number, change: ChunkChange): void {
    const before = this.#gathering.get(index);
    if (before !== undefined && before !== 'zeroes') this.#gatheringChunks--;
    if (change !== 'zeroes') this.#gatheringChunks++;
    this.#gathering.set(index, change);
  }

  /** Begins a commit of all that has gathered. None may be going on. */
  begin(): ReadonlyMap<number, ChunkChange> {
    this.#committing = this.#gathering;
    this.#gathering = new Map();
    this.#gatheringChunks = 0;
    return this.#committing;
  }

  succeeded(): void {
    this.#committing = new Map();
  }

  failed(): void {
    const later = this.#gathering;
    this.#gathering = new Map();
    this.#gatheringChunks = 0;
    for (const [index, change] of [...this.#committing, ...later]) this.set(index, change);
    this.#committing = new Map();
  }
}

/** Chunks that outlive the storage which fetched them. */
export interface KeptChunks {
  /** The bytes of a chunk that was kept, or undefined. */
  get(index: number): Uint8Array | undefined;
  /** Keeps a chunk, or does not when there is no room: it can be fetched again. */
  put(index: number, chunk: Uint8Array): void;
  flush(): void;
  close(): Promise<void>;
}

/** Bytes in memory, as cheap as can be, that counts what is asked of it: work that a hostile image must not make endless. */
import { BYTE_LIMITS, type Storage } from '../../src/block/driver.ts';
import { SparseBytes } from '../support/sparse-bytes.ts';

export class MemoryStorage implements Storage {
  readonly synchronous = true;
  readonly readOnly = false;
  readonly limits = BYTE_LIMITS;
  readonly content: SparseBytes;
  /** Requests, and bytes that they moved, so far. */
  requests = 0;
  bytes = 0;
  /** The external data file of an image that has one. */
  readonly beside: MemoryStorage | undefined;

  constructor(initial: SparseBytes | Uint8Array) {
    this.content = initial instanceof Uint8Array ? SparseBytes.from(initial) : initial.copy();
    this.beside = this.content.beside === undefined ? undefined : new MemoryStorage(this.content.beside);
  }

  getLength(): number {
    return this.content.length;
  }

  read(offset: number, buffer: Uint8Array): void {
    this.#count(buffer.length);
    this.content.read(offset, buffer);
  }

  write(offset: number, data: Uint8Array): void {
    this.#count(data.length);
    this.content.write(offset, data);
  }

  writeZeroes(offset: number, length: number): void {
    this.#count(0);
    // Page by page would take for ever where an image says that it has 2^50 bytes.
    if (length > 2 ** 30) throw new Error(`zeroes of ${length} bytes reached the storage`);
    this.content.zero(offset, length);
  }

  discard(offset: number, length: number): void {
    const end = Math.min(offset + length, this.content.length);
    if (end > offset) this.writeZeroes(offset, end - offset);
  }

  truncate(length: number): void {
    this.#count(0);
    this.content.truncate(length);
  }

  flush(): void {
    this.#count(0);
  }

  close(): void {
    // The next step opens it again.
  }

  #count(bytes: number): void {
    this.requests++;
    this.bytes += bytes;
  }
}

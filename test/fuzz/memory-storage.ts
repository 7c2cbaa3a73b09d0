/** Bytes in memory, as cheap as can be, that counts what is asked of it: work that a hostile image must not make endless. */
import { useAes } from '../../src/codec/aes.ts';
import { nodeAes } from '../../src/node/aes.ts';
import { BYTE_LIMITS, type Storage } from '../../src/block/driver.ts';
import { SparseBytes } from '../support/sparse-bytes.ts';

// As its users have it in Node; the one in JavaScript has tests of its own, and takes many times as long.
useAes(nodeAes);

/** What one case may ask of a file, whatever machine it runs on: requests, and bytes moved. */
const MAX_CASE_REQUESTS = 200_000;
const MAX_CASE_BYTES = 512 * 2 ** 20;
/** What a case may store: a file of this size came from a small one only if something was not bounded. */
const MAX_STORED_BYTES = 64 * 2 ** 20;

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
    expectRequest(offset, buffer.length);
    this.content.read(offset, buffer);
  }

  write(offset: number, data: Uint8Array): void {
    this.#count(data.length);
    expectRequest(offset, data.length);
    this.content.write(offset, data);
  }

  writeZeroes(offset: number, length: number): void {
    this.#count(0);
    expectRequest(offset, length);
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

/** @throws when a request reaches a storage that the core must not let through */
function expectRequest(offset: number, length: number): void {
  if (Number.isSafeInteger(offset + length) && offset >= 0 && length >= 0) return;
  throw new Error(`a request for ${length} bytes at ${offset} reached the storage`);
}

/** @throws when more was asked of the files of an image than anything of its size is worth */
export function expectBounded({ requests, bytes, content, beside }: MemoryStorage): void {
  if (requests > MAX_CASE_REQUESTS) throw new Error(`it took ${requests} requests`);
  if (bytes > MAX_CASE_BYTES) throw new Error(`${bytes} bytes were moved`);
  if (content.storedBytes > MAX_STORED_BYTES) throw new Error(`${content.storedBytes} bytes are stored`);
  if (beside !== undefined) expectBounded(beside);
}

import type { MaybePromise } from '../../co.ts';
import { type BlockLimits, BYTE_LIMITS, type Storage, type StorageIdentity } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { ChunkReader, splitChunks } from '../shared/chunk-reader.ts';
import { exceptionName, messageOf } from '../shared/errors.ts';
import { ReadOnlyStorage } from '../shared/read-only-storage.ts';

/** A slice costs the same up to this size. */
const CHUNK_BYTES = 65536;
const REQUEST_BYTES = 1024 * 1024;
const READ_AHEAD_BYTES = 1024 * 1024;
const PARALLEL_READS = 16;

/** A Blob, or a File that somebody chose or dropped. Reads only. A read of what is cached does not wait. */
export class BlobStorage extends ReadOnlyStorage implements Storage {
  readonly limits: BlockLimits;
  readonly #blob: Blob;
  readonly #reader: ChunkReader;

  /** @param cacheBytes bytes of it that stay in memory */
  constructor(blob: Blob, filename: string, cacheBytes: number) {
    super('blob', filename);
    this.limits = { ...BYTE_LIMITS, transferOptimal: REQUEST_BYTES };
    this.#blob = blob;
    const readAhead = Math.min(READ_AHEAD_BYTES, Math.floor(cacheBytes / 4));
    this.#reader = new ChunkReader(
      { length: blob.size, chunkBytes: CHUNK_BYTES, load: (first, count) => this.#load(first, count) },
      {
        cacheBytes,
        parallel: PARALLEL_READS,
        requestBytes: REQUEST_BYTES,
        readAhead: { min: readAhead, max: readAhead, gap: CHUNK_BYTES },
      },
    );
  }

  getLength(): number {
    this.refuseClosed();
    return this.#blob.size;
  }

  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    this.refuseClosed();
    return this.#reader.read(offset, buffer);
  }

  allocatedSize(): number {
    return this.#blob.size;
  }

  identity(): StorageIdentity {
    const { size } = this.#blob;
    return isFile(this.#blob) ? { size, lastModifiedMs: this.#blob.lastModified } : { size };
  }

  close(): void {
    if (this.markClosed()) this.#reader.close(this.closedError());
  }

  async #load(first: number, count: number): Promise<readonly Uint8Array[]> {
    const offset = first * CHUNK_BYTES;
    const length = Math.min(count * CHUNK_BYTES, this.#blob.size - offset);
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(await this.#blob.slice(offset, offset + length).arrayBuffer());
    } catch (error) {
      throw this.#failed(error, offset, length);
    }
    // The file was cut; a browser that does not notice must not make zeroes of what is gone.
    if (bytes.length !== length) throw this.#changed(undefined, offset, length);
    return splitChunks(bytes, CHUNK_BYTES);
  }

  #failed(error: unknown, offset: number, length: number): BlockError {
    // What browsers say when the file under a File is gone or is not the one that was chosen any more.
    const changed = ['NotReadableError', 'NotFoundError'].includes(exceptionName(error));
    if (changed) return this.#changed(error, offset, length);
    const message = `The file cannot be read: ${messageOf(error)}`;
    return new BlockError('io', message, this.#place(offset, length), { cause: error });
  }

  #changed(cause: unknown, offset: number, length: number): BlockError {
    const message = 'The file was changed, moved or deleted since it was chosen: choose it again';
    return new BlockError('base-changed', message, this.#place(offset, length), { cause });
  }

  #place(offset: number, length: number) {
    return { driver: 'blob', filename: this.filename, op: 'read', offset, length };
  }
}

function isFile(blob: Blob): blob is File {
  return 'lastModified' in blob;
}

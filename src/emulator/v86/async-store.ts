import { BlockError } from '../../block/error.ts';
import type { EmulatorDisk } from '../disk.ts';
import { PendingWrites } from './pending-writes.ts';
import { ReadCache, type ReadCacheOptions } from './read-cache.ts';
import type { DiskStore } from './store.ts';

/** A disk behind messages: reads through a cache, writes in order, each read sees the writes that are still on their way. */
export class AsyncStore implements DiskStore {
  readonly #disk: EmulatorDisk;
  readonly #writes: PendingWrites;
  readonly #cache: ReadCache;

  constructor(disk: EmulatorDisk, options: ReadCacheOptions) {
    this.#disk = disk;
    this.#writes = new PendingWrites({
      write: (offset, data) => this.#writeThrough(offset, data),
      discard: (offset, length) => this.#discardThrough(offset, length),
    });
    const source = { size: disk.size, read: (offset: number, length: number) => this.#readExactly(offset, length) };
    this.#cache = new ReadCache(source, this.#writes, options);
  }

  get size(): number {
    return this.#disk.size;
  }

  get readOnly(): boolean {
    return this.#disk.readOnly;
  }

  get canDiscard(): boolean {
    return !this.readOnly && this.#disk.discard !== undefined;
  }

  get cacheHits(): number {
    return this.#cache.hits;
  }

  get readAheads(): number {
    return this.#cache.readAheads;
  }

  read(offset: number, length: number): Uint8Array | Promise<Uint8Array> {
    return this.#cache.read(offset, length);
  }

  write(offset: number, data: Uint8Array): Promise<void> {
    this.#cache.written(offset, data);
    return this.#writes.write(offset, data);
  }

  discard(offset: number, length: number): Promise<void> {
    this.#cache.drop(offset, length);
    return this.#writes.discard(offset, length);
  }

  async flush(): Promise<void> {
    await this.#writes.settled();
    await this.#disk.flush();
  }

  invalidate(): void {
    this.#cache.clear();
  }

  async #readExactly(offset: number, length: number): Promise<Uint8Array> {
    const data = await this.#disk.read(offset, length);
    if (data.length === length) return data;
    throw new BlockError('io', `The disk answered a read of ${length} bytes with ${data.length}.`, {
      op: 'read',
      offset,
      length,
    });
  }

  async #writeThrough(offset: number, data: Uint8Array): Promise<void> {
    try {
      await this.#disk.write(offset, data);
    } catch (error) {
      // The cache took the new bytes when the write was issued; they are not what the disk has.
      this.#cache.drop(offset, data.length);
      throw error;
    }
  }

  async #discardThrough(offset: number, length: number): Promise<void> {
    try {
      await this.#disk.discard?.(offset, length);
    } finally {
      this.#cache.drop(offset, length);
    }
  }
}

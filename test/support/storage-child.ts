/** A storage as a format driver sees its file, without a graph around it. */
import { chain, type MaybePromise } from '../../src/block/co.ts';
import type { BlockChild, Storage } from '../../src/block/driver.ts';

export class StorageChild implements BlockChild {
  readonly name = 'file';
  readonly nodeName = 'storage';
  readonly synchronous: boolean;
  readonly readOnly: boolean;
  readonly #storage: Storage;
  #length: number;

  /** @param length what the storage's `getLength` says */
  constructor(storage: Storage, length: number) {
    this.#storage = storage;
    this.#length = length;
    this.synchronous = storage.synchronous;
    this.readOnly = storage.readOnly;
  }

  get length(): number {
    return this.#length;
  }

  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return this.#storage.read(offset, buffer);
  }

  write(offset: number, data: Uint8Array): MaybePromise<void> {
    return chain(this.#storage.write(offset, data), () => this.#grow(offset + data.length));
  }

  writeZeroes(offset: number, length: number): MaybePromise<void> {
    const { writeZeroes } = this.#storage;
    const zeroed =
      writeZeroes === undefined
        ? this.#storage.write(offset, new Uint8Array(length))
        : writeZeroes.call(this.#storage, offset, length, false);
    return chain(zeroed, () => this.#grow(offset + length));
  }

  discard(offset: number, length: number): MaybePromise<void> {
    return this.#storage.discard?.(offset, length);
  }

  truncate(length: number): MaybePromise<void> {
    return chain(this.#storage.truncate(length), () => {
      this.#length = length;
    });
  }

  flush(): MaybePromise<void> {
    return this.#storage.flush();
  }

  allocatedSize(): MaybePromise<number | undefined> {
    return this.#storage.allocatedSize?.();
  }

  event(): void {
    // Nobody listens.
  }

  #grow(end: number): void {
    this.#length = Math.max(this.#length, end);
  }
}

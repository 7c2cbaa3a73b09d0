import type { SynchronousDisk } from '../disk.ts';
import type { DiskStore } from './store.ts';

/** Longer reads get a buffer of their own, so that one long read does not hold its memory for ever. */
const SCRATCH_BYTES = 1024 * 1024;

/** A disk in the emulator's own thread. It needs no cache, and nothing is ever pending. */
export class SyncStore implements DiskStore {
  readonly cacheHits = 0;
  readonly readAheads = 0;
  readonly #disk: SynchronousDisk;
  #scratch = new Uint8Array(0);

  constructor(disk: SynchronousDisk) {
    this.#disk = disk;
  }

  get size(): number {
    return this.#disk.size;
  }

  get readOnly(): boolean {
    return this.#disk.readOnly;
  }

  get canDiscard(): boolean {
    return !this.readOnly && this.#disk.discardSync !== undefined;
  }

  read(offset: number, length: number): Uint8Array {
    const buffer = this.#buffer(length);
    this.#disk.readSync(offset, buffer);
    return buffer;
  }

  write(offset: number, data: Uint8Array): void {
    this.#disk.writeSync(offset, data);
  }

  discard(offset: number, length: number): void {
    this.#disk.discardSync?.(offset, length);
  }

  flush(): void {
    this.#disk.flushSync();
  }

  invalidate(): void {
    // Nothing is cached.
  }

  #buffer(length: number): Uint8Array {
    if (length > SCRATCH_BYTES) return new Uint8Array(length);
    if (this.#scratch.length < length) this.#scratch = new Uint8Array(SCRATCH_BYTES);
    return this.#scratch.subarray(0, length);
  }
}

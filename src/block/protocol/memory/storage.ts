import { BYTE_LIMITS, type OpenFlags, type Storage } from '../../driver.ts';
import { attempt } from '../shared/attempt.ts';
import { closedError, noSpaceError, readOnlyError } from '../shared/errors.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import type { MemoryFile } from './store.ts';

/** An opened file in memory. Nothing ever waits. */
export class MemoryStorage implements Storage {
  readonly synchronous = true;
  readonly limits = BYTE_LIMITS;
  readonly #file: MemoryFile;
  #readOnly: boolean;
  #open = true;

  /** @throws BlockError `busy` */
  constructor(file: MemoryFile, flags: OpenFlags) {
    file.acquire(flags.readOnly, flags.forceShare === true);
    this.#file = file;
    this.#readOnly = flags.readOnly;
  }

  get readOnly(): boolean {
    return this.#readOnly;
  }

  getLength(): number {
    return this.#bytes().length;
  }

  read(offset: number, buffer: Uint8Array): void {
    this.#bytes().read(offset, buffer);
  }

  write(offset: number, data: Uint8Array): void {
    const bytes = this.#writable('write');
    try {
      bytes.write(offset, data);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const place = { driver: 'memory', filename: this.#file.name, op: 'write', offset, length: data.length };
      throw noSpaceError(place, error, 'close other disks in memory, or keep this one in a file');
    }
  }

  writeZeroes(offset: number, length: number, _mayUnmap: boolean): void {
    const bytes = this.#writable('write zeroes');
    bytes.zero(offset, length);
    if (length > 0 && offset + length > bytes.length) bytes.resize(offset + length);
  }

  discard(offset: number, length: number): void {
    this.#writable('discard').zero(offset, length);
  }

  blockStatus(offset: number, length: number): { readonly length: number; readonly zero: boolean } {
    return this.#bytes().status(offset, length);
  }

  truncate(length: number): void {
    this.#writable('truncate').resize(length);
  }

  flush(): void {
    this.#bytes();
  }

  allocatedSize(): number {
    return this.#bytes().allocated;
  }

  reopen(flags: OpenFlags): Promise<void> {
    return attempt(() => this.#changeMode(flags));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#file.release(this.#readOnly);
  }

  #changeMode(flags: OpenFlags): void {
    this.#bytes();
    if (flags.readOnly === this.#readOnly) return;
    this.#file.release(this.#readOnly);
    try {
      this.#file.acquire(flags.readOnly, flags.forceShare === true);
    } catch (error) {
      // Nothing ran in between, so the old right is still free.
      this.#file.acquire(this.#readOnly, true);
      throw error;
    }
    this.#readOnly = flags.readOnly;
  }

  #bytes(): SparseBytes {
    if (!this.#open) throw closedError('memory', this.#file.name);
    return this.#file.bytes;
  }

  #writable(op: string): SparseBytes {
    const bytes = this.#bytes();
    if (this.#readOnly) throw readOnlyError('memory', this.#file.name, op);
    return bytes;
  }
}

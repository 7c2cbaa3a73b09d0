import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import type { MaybePromise } from '../../co.ts';
import { BYTE_LIMITS, type Storage, type StorageIdentity } from '../../driver.ts';
import type { BlockError } from '../../error.ts';
import { closedError, readOnlyError, type RequestPlace } from '../shared/errors.ts';
import { fromSystemError } from './errors.ts';
import { systemCalls } from './system-calls.ts';

const ZERO_BYTES = 1024 * 1024;
/** The unit of a file's block count, whatever the file system's own blocks are. POSIX, sys/stat.h */
const STAT_BLOCK_BYTES = 512;

export interface OpenedFile {
  readonly filename: string;
  readonly descriptor: number;
  readonly readOnly: boolean;
  readonly length: number;
  /** A block device cannot grow. */
  readonly fixedLength: boolean;
  /** Says that this use of the file has ended. */
  readonly leave: () => void;
}

/**
 * A file or block device of the operating system, read and written by direct system calls. Where holes can be asked for and made
 * (`systemCalls`), they are; elsewhere everything below the end of the file is taken for data, and zeroes are written.
 */
export class FileStorage implements Storage {
  readonly synchronous: boolean = true;
  readonly limits = BYTE_LIMITS;
  readonly readOnly: boolean;
  readonly #file: OpenedFile;
  /** -1 after close. */
  #descriptor: number;
  #length: number;

  constructor(file: OpenedFile) {
    this.readOnly = file.readOnly;
    this.#file = file;
    this.#descriptor = file.descriptor;
    this.#length = file.length;
  }

  getLength(): number {
    this.opened();
    return this.#length;
  }

  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const descriptor = this.opened();
    let done = 0;
    try {
      while (done < buffer.length) {
        const count = readSync(descriptor, buffer, done, buffer.length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw this.failed(error, 'read', offset, buffer.length);
    }
    this.endRead(offset, buffer, done);
  }

  write(offset: number, data: Uint8Array): void {
    this.#writeNow(offset, data);
  }

  #writeNow(offset: number, data: Uint8Array): void {
    const descriptor = this.writable('write');
    try {
      for (let done = 0; done < data.length;) {
        done += writeSync(descriptor, data, done, data.length - done, offset + done);
      }
    } catch (error) {
      this.#undoGrowth(descriptor);
      throw this.failed(error, 'write', offset, data.length);
    }
    if (data.length > 0 && offset + data.length > this.#length) this.#length = offset + data.length;
  }

  /** What lies past the end becomes a hole; what lies before it is made zero by the file system, or written. */
  writeZeroes(offset: number, length: number, mayUnmap: boolean): void {
    const descriptor = this.writable('write zeroes');
    const end = offset + length;
    let written = Math.min(end, this.#length);
    if (written > offset && this.#makeZero(descriptor, offset, written - offset, mayUnmap)) written = offset;
    const zeroes = new Uint8Array(Math.max(0, Math.min(ZERO_BYTES, written - offset)));
    for (let at = offset; at < written; at += zeroes.length) {
      this.#writeNow(at, at + zeroes.length <= written ? zeroes : zeroes.subarray(0, written - at));
    }
    if (length > 0 && end > this.#length) this.truncate(end);
  }

  /** Gives the space back; without the means to, nothing happens. */
  discard(offset: number, length: number): void {
    systemCalls()?.punchHole(this.writable('discard'), offset, Math.min(length, this.#length - offset));
  }

  blockStatus(offset: number, length: number): { readonly length: number; readonly zero: boolean } {
    const descriptor = this.opened();
    const inside = Math.min(length, this.#length - offset);
    if (inside <= 0) return { length, zero: true };
    const run = systemCalls()?.runAt(descriptor, offset);
    if (run === undefined) return { length: inside, zero: false };
    return { length: Math.min(inside, run.length), zero: run.hole };
  }

  truncate(length: number): void {
    const descriptor = this.writable('truncate');
    if (this.#file.fixedLength)
      throw this.failed(new Error('a device has the size that it has'), 'truncate', length, 0);
    try {
      ftruncateSync(descriptor, length);
    } catch (error) {
      throw this.failed(error, 'truncate', length, 0);
    }
    this.#length = length;
  }

  flush(): void {
    const descriptor = this.opened();
    if (this.readOnly) return;
    try {
      fdatasyncSync(descriptor);
    } catch (error) {
      throw this.failed(error, 'flush', 0, this.#length);
    }
  }

  allocatedSize(): number {
    return fstatSync(this.opened()).blocks * STAT_BLOCK_BYTES;
  }

  identity(): StorageIdentity {
    return { size: this.#length, lastModifiedMs: Math.trunc(fstatSync(this.opened()).mtimeMs) };
  }

  close(): void {
    const descriptor = this.#descriptor;
    if (descriptor < 0) return;
    this.#descriptor = -1;
    try {
      closeSync(descriptor);
    } finally {
      this.#file.leave();
    }
  }

  #makeZero(descriptor: number, offset: number, length: number, mayUnmap: boolean): boolean {
    const calls = systemCalls();
    if (calls === undefined) return false;
    return mayUnmap ? calls.punchHole(descriptor, offset, length) : calls.zeroRange(descriptor, offset, length);
  }

  /** A failed write may have made the file longer; nobody was told of those bytes. */
  #undoGrowth(descriptor: number): void {
    try {
      if (!this.#file.fixedLength && fstatSync(descriptor).size > this.#length) ftruncateSync(descriptor, this.#length);
    } catch {
      // The error that led here is what the caller must hear; this one would only hide it.
    }
  }

  /** Past the end of the file everything is zero. @param done bytes that were read */
  protected endRead(offset: number, buffer: Uint8Array, done: number): void {
    if (done === buffer.length) return;
    if (offset + done < this.#length) {
      const cut = new Error(`it ends before the ${this.#length} bytes that it had: something else has cut it`);
      throw this.failed(cut, 'read', offset, buffer.length);
    }
    buffer.fill(0, done);
  }

  protected opened(): number {
    if (this.#descriptor < 0) throw closedError('file', this.#file.filename);
    return this.#descriptor;
  }

  protected writable(op: string): number {
    const descriptor = this.opened();
    if (this.readOnly) throw readOnlyError('file', this.#file.filename, op);
    return descriptor;
  }

  protected failed(error: unknown, op: string, offset: number, length: number): BlockError {
    const place: RequestPlace = { driver: 'file', filename: this.#file.filename, op, offset, length };
    return fromSystemError(error, place);
  }
}

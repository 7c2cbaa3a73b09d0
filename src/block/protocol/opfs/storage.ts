import { BYTE_LIMITS, type Storage, type StorageIdentity } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { closedError, noSpaceError, readOnlyError, type RequestPlace } from '../shared/errors.ts';
import { fromException, QUOTA_HINT } from '../shared/exceptions.ts';
import type { HeldLock } from '../shared/web-lock.ts';

const ZERO_BYTES = 262144;
export const FULL_HINT = `the disk of this computer may be full, a private window may hold no more, or ${QUOTA_HINT}`;

export interface OpenedFile {
  readonly filename: string;
  readonly handle: FileSystemSyncAccessHandle;
  readonly lock: HeldLock;
  readonly readOnly: boolean;
  readonly lastModifiedMs: number;
}

/**
 * A file of the origin private file system, opened in a dedicated worker. A cached read takes a microsecond, so `read` makes
 * no object and calls the handle once.
 */
export class OpfsStorage implements Storage {
  readonly synchronous = true;
  readonly limits = BYTE_LIMITS;
  readonly readOnly: boolean;
  readonly #filename: string;
  readonly #lock: HeldLock;
  readonly #at = { at: 0 };
  #handle: FileSystemSyncAccessHandle | undefined;
  /** The handle's `getSize` asks the operating system each time. */
  #length: number;
  #lastModifiedMs: number | undefined;

  constructor(file: OpenedFile) {
    this.readOnly = file.readOnly;
    this.#filename = file.filename;
    this.#lock = file.lock;
    this.#handle = file.handle;
    this.#length = file.handle.getSize();
    this.#lastModifiedMs = file.lastModifiedMs;
  }

  getLength(): number {
    this.#opened();
    return this.#length;
  }

  read(offset: number, buffer: Uint8Array): void {
    const handle = this.#handle;
    if (handle === undefined) throw closedError('opfs', this.#filename);
    this.#at.at = offset;
    try {
      const count = handle.read(buffer, this.#at);
      if (count !== buffer.length) this.#completeRead(handle, offset, buffer, count);
    } catch (error) {
      throw this.#failed(error, 'read', offset, buffer.length);
    }
  }

  write(offset: number, data: Uint8Array): void {
    const handle = this.#writable('write');
    this.#lastModifiedMs = undefined;
    this.#at.at = offset;
    try {
      const count = handle.write(data, this.#at);
      if (count !== data.length) this.#completeWrite(handle, offset, data, count);
    } catch (error) {
      this.#undoGrowth(handle);
      throw this.#failed(error, 'write', offset, data.length);
    }
    const end = offset + data.length;
    if (end > this.#length && data.length > 0) this.#length = end;
  }

  /** What lies past the end becomes zero by growing; what lies before it is written, for the file system knows no holes. */
  writeZeroes(offset: number, length: number, _mayUnmap: boolean): void {
    this.#writable('write zeroes');
    const end = offset + length;
    const written = Math.min(end, this.#length);
    const zeroes = new Uint8Array(Math.max(0, Math.min(ZERO_BYTES, written - offset)));
    for (let at = offset; at < written; at += zeroes.length) {
      this.write(at, at + zeroes.length <= written ? zeroes : zeroes.subarray(0, written - at));
    }
    if (length > 0 && end > this.#length) this.truncate(end);
  }

  truncate(length: number): void {
    const handle = this.#writable('truncate');
    this.#lastModifiedMs = undefined;
    try {
      handle.truncate(length);
      // Chromium's private windows keep files in memory, at most 2 GiB each, and say nothing when one does not fit.
      if (handle.getSize() !== length) throw noSpaceError(this.#place('truncate', length, 0), undefined, FULL_HINT);
    } catch (error) {
      this.#undoGrowth(handle);
      throw this.#failed(error, 'truncate', length, 0);
    }
    this.#length = length;
  }

  flush(): void {
    const handle = this.#opened();
    if (this.readOnly) return;
    try {
      handle.flush();
    } catch (error) {
      throw this.#failed(error, 'flush', 0, this.#length);
    }
  }

  /** Browsers count a sparse file by its length, so that is what it costs. */
  allocatedSize(): number {
    return this.getLength();
  }

  identity(): StorageIdentity {
    const size = this.getLength();
    return this.#lastModifiedMs === undefined ? { size } : { size, lastModifiedMs: this.#lastModifiedMs };
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    try {
      handle.close();
    } finally {
      await this.#lock.release();
    }
  }

  /** After a short read: the rest, and zeroes for what is past the end. */
  #completeRead(handle: FileSystemSyncAccessHandle, offset: number, buffer: Uint8Array, first: number): void {
    const wanted = Math.max(0, Math.min(buffer.length, this.#length - offset));
    let done = first;
    while (done < wanted) {
      const count = handle.read(buffer.subarray(done, wanted), { at: offset + done });
      if (count === 0) {
        const message = `The file ends before the ${this.#length} bytes that it had: something else has cut it`;
        throw new BlockError('io', message, this.#place('read', offset, buffer.length));
      }
      done += count;
    }
    // Chromium hands some error codes out as a huge count.
    if (done > buffer.length) throw new Error(`the browser says that it read ${done} bytes of ${buffer.length}`);
    buffer.fill(0, wanted);
  }

  /** After a short write: the rest, or the news that it does not fit. */
  #completeWrite(handle: FileSystemSyncAccessHandle, offset: number, data: Uint8Array, first: number): void {
    let done = first;
    let count = first;
    while (done < data.length && count > 0) {
      count = handle.write(data.subarray(done), { at: offset + done });
      done += count;
    }
    if (done === data.length) return;
    // Nothing more goes in. On a full disk Chromium answers with an error code that looks like a huge count.
    throw noSpaceError(this.#place('write', offset, data.length), undefined, FULL_HINT);
  }

  /** A failed write may have made the file longer; nobody was told of those bytes. */
  #undoGrowth(handle: FileSystemSyncAccessHandle): void {
    try {
      if (handle.getSize() > this.#length) handle.truncate(this.#length);
    } catch {
      // The error that led here is what the caller must hear; this one would only hide it.
    }
  }

  #opened(): FileSystemSyncAccessHandle {
    if (this.#handle === undefined) throw closedError('opfs', this.#filename);
    return this.#handle;
  }

  #writable(op: string): FileSystemSyncAccessHandle {
    const handle = this.#opened();
    if (this.readOnly) throw readOnlyError('opfs', this.#filename, op);
    return handle;
  }

  #failed(error: unknown, op: string, offset: number, length: number): BlockError {
    return fromException(error, this.#place(op, offset, length));
  }

  #place(op: string, offset: number, length: number): RequestPlace {
    return { driver: 'opfs', filename: this.#filename, op, offset, length };
  }
}

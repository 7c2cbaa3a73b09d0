import { read, write } from 'node:fs';
import { promisify } from 'node:util';
import type { MaybePromise } from '../../co.ts';
import { FileStorage } from './storage.ts';

/** Handing a request to a thread costs some ten microseconds: what is shorter than this is done sooner than handed over. */
const THREADED_BYTES = 256 * 1024;

/**
 * For as much as a single write brings, Linux looks for a single page of the file's cache, and the largest, of 2 MiB, are hard to come by:
 * finding them took several times as long as copying the bytes.
 */
const MAX_WRITE_BYTES = 1024 * 1024;

const readOnThread = promisify(read);
const writeOnThread = promisify(write);

/**
 * A file whose long requests are carried out by Node's threads, so that several are on their way at a time: for copies, where
 * reading ahead goes on while what was read is decompressed and written. QEMU: `aio=threads`.
 *
 * The file may be longer than its known length while writes are on their way that make it longer. Whatever would set its length
 * waits for them, and what a failed one has added is cut off when none of them is left.
 *
 * `npm run bench -- cli` shows what it gains: converting 1 GiB of raw disk to qcow2 and back.
 */
export class ThreadedFileStorage extends FileStorage {
  override readonly synchronous = false;
  /** Writes on their way that reach behind the known end of the file. */
  readonly #growing = new Set<Promise<void>>();
  /** The last of the long writes, in the order in which they came. */
  #lastWrite: Promise<void> = Promise.resolve();
  /** One of those that were on their way together has failed. */
  #growthFailed = false;

  override read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return buffer.length < THREADED_BYTES ? super.read(offset, buffer) : this.#readOnThread(offset, buffer);
  }

  override write(offset: number, data: Uint8Array): MaybePromise<void> {
    if (data.length < THREADED_BYTES) return super.write(offset, data);
    const end = offset + data.length;
    return end <= this.getLength() ? this.#writeOnThread(offset, data) : this.#growOnThread(offset, data);
  }

  override writeZeroes(offset: number, length: number, mayUnmap: boolean): MaybePromise<void> {
    return this.#whenGrown(() => super.writeZeroes(offset, length, mayUnmap));
  }

  override truncate(length: number): MaybePromise<void> {
    return this.#whenGrown(() => super.truncate(length));
  }

  protected override undoGrowth(): void {
    if (this.#growing.size > 0) this.#growthFailed = true;
    else super.undoGrowth();
  }

  #whenGrown(change: () => MaybePromise<void>): MaybePromise<void> {
    return this.#growing.size === 0 ? change() : this.#afterGrowth(change);
  }

  async #afterGrowth(change: () => MaybePromise<void>): Promise<void> {
    while (this.#growing.size > 0) await Promise.allSettled(this.#growing);
    await change();
  }

  #growOnThread(offset: number, data: Uint8Array): Promise<void> {
    const writing = this.#grow(offset, data).finally(() => {
      this.#growing.delete(writing);
      if (this.#growing.size > 0 || !this.#growthFailed) return;
      this.#growthFailed = false;
      super.undoGrowth();
    });
    this.#growing.add(writing);
    return writing;
  }

  async #grow(offset: number, data: Uint8Array): Promise<void> {
    try {
      await this.#writeOnThread(offset, data);
    } catch (error) {
      this.#growthFailed = true;
      throw error;
    }
    this.grewTo(offset + data.length);
  }

  async #readOnThread(offset: number, buffer: Uint8Array): Promise<void> {
    const descriptor = this.opened();
    let done = 0;
    try {
      while (done < buffer.length) {
        const { bytesRead } = await readOnThread(descriptor, buffer, done, buffer.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    } catch (error) {
      throw this.failed(error, 'read', offset, buffer.length);
    }
    this.endRead(offset, buffer, done);
  }

  /** One after the other: file systems let one write into a file at a time, and threads that wait for that would be missing elsewhere. */
  #writeOnThread(offset: number, data: Uint8Array): Promise<void> {
    const before = this.#lastWrite;
    const written = this.#writeAfter(before, offset, data);
    this.#lastWrite = written.catch(() => undefined);
    return written;
  }

  async #writeAfter(before: Promise<void>, offset: number, data: Uint8Array): Promise<void> {
    await before;
    const descriptor = this.writable('write');
    try {
      for (let done = 0; done < data.length;) {
        const length = Math.min(data.length - done, MAX_WRITE_BYTES);
        const { bytesWritten } = await writeOnThread(descriptor, data, done, length, offset + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw this.failed(error, 'write', offset, data.length);
    }
  }
}

import { read, write } from 'node:fs';
import { promisify } from 'node:util';
import type { MaybePromise } from '../../co.ts';
import { FileStorage } from './storage.ts';

/** Handing a request to a thread costs some ten microseconds: what is shorter than this is done sooner than handed over. */
const THREADED_BYTES = 256 * 1024;

const readOnThread = promisify(read);
const writeOnThread = promisify(write);

/**
 * A file whose long requests are carried out by Node's threads, so that several are on their way at a time: for copies, where
 * reading ahead goes on while what was read is decompressed and written. QEMU: `aio=threads`.
 *
 * `npm run bench -- cli` shows what it gains: converting 1 GiB of raw disk to qcow2 and back.
 */
export class ThreadedFileStorage extends FileStorage {
  override readonly synchronous = false;

  override read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return buffer.length < THREADED_BYTES ? super.read(offset, buffer) : this.#readOnThread(offset, buffer);
  }

  /** What makes the file longer is written at once: its length is known at any time, and so what a failed write has added. */
  override write(offset: number, data: Uint8Array): MaybePromise<void> {
    const grows = offset + data.length > this.getLength();
    return grows || data.length < THREADED_BYTES ? super.write(offset, data) : this.#writeOnThread(offset, data);
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

  async #writeOnThread(offset: number, data: Uint8Array): Promise<void> {
    const descriptor = this.writable('write');
    try {
      for (let done = 0; done < data.length;) {
        const { bytesWritten } = await writeOnThread(descriptor, data, done, data.length - done, offset + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw this.failed(error, 'write', offset, data.length);
    }
  }
}

import { read } from 'node:fs';
import { promisify } from 'node:util';
import type { MaybePromise } from '../../co.ts';
import { FileStorage } from './storage.ts';

/** Handing a request to a thread costs some ten microseconds: what is shorter than this is done sooner than handed over. */
const THREADED_BYTES = 256 * 1024;

/**
 * For as much as a single write brings, Linux looks for a single page of the file's cache, and large ones can be hard to come by: finding
 * those of a megabyte took several times as long as copying the bytes. `docs/PERFORMANCE.md` has the figures.
 */
const MAX_WRITE_BYTES = 512 * 1024;

const readOnThread = promisify(read);

/**
 * A file whose long reads are carried out by Node's threads, so that several are on their way at a time: for copies, where reading ahead
 * goes on while what was read is decompressed and written. QEMU: `aio=threads`.
 *
 * Writes are carried out at once: file systems let one into a file at a time anyway, and the length of the file is known at any time, as
 * is what a failed write has added.
 */
export class ThreadedFileStorage extends FileStorage {
  override readonly synchronous = false;

  override read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return buffer.length < THREADED_BYTES ? super.read(offset, buffer) : this.#readOnThread(offset, buffer);
  }

  override write(offset: number, data: Uint8Array): void {
    for (let at = 0; at < data.length; at += MAX_WRITE_BYTES) {
      super.write(offset + at, data.subarray(at, at + MAX_WRITE_BYTES));
    }
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
}

/**
 * Keeps a disk whose format was only guessed to be raw from being taken for something else the next time.
 *
 * A guest owns every byte of a raw disk: it could write a header there that names files of the host, and whoever guesses the format
 * then would open them. Source: CVE-2008-2004; QEMU, "Disk image file formats", the warning about probing.
 */
import { CoMutex, settle, type Co, type MaybePromise } from '../co.ts';
import type { BlockChild, FormatDriver } from '../driver.ts';
import { BlockError } from '../error.ts';
import { PROBE_BYTES } from '../limits.ts';
import { probeFormats } from '../probe.ts';

/** A change of a range of the disk, in bytes. */
interface Change {
  readonly offset: number;
  readonly length: number;
  /** Missing: zeroes. */
  readonly data?: Uint8Array;
}

export class ProbeGuard {
  readonly #formats: readonly FormatDriver[];
  readonly #file: BlockChild;
  readonly #filename: string;
  readonly #begin: number;
  /** Two changes that are harmless alone could make a header together. */
  readonly #mutex = new CoMutex();

  /** @param begin where the disk begins in its file, in bytes */
  constructor(formats: readonly FormatDriver[], file: BlockChild, filename: string, begin: number) {
    this.#formats = formats;
    this.#file = file;
    this.#filename = filename;
    this.#begin = begin;
  }

  /** Whether probing looks at a range, or would once it is written. */
  watches(offset: number, length: number): boolean {
    const at = this.#begin + offset;
    return at < PROBE_BYTES || at + length > this.#file.length - PROBE_BYTES;
  }

  /** Makes a change after which the format is still guessed to be raw. @throws BlockError `permission`, and nothing has been changed */
  change(change: Change, perform: () => MaybePromise<void>): Co<void> {
    const at = this.#begin + change.offset;
    const size = Math.max(this.#file.length, at + change.length);
    return this.#checked(size, { ...change, offset: at }, perform);
  }

  /** The same for a new length of the disk, in bytes. @throws BlockError `permission` */
  resize(length: number, perform: () => MaybePromise<void>): Co<void> {
    return this.#checked(this.#begin + length, { offset: 0, length: 0 }, perform);
  }

  /** @param change in bytes of the file, which is of a size afterwards */
  *#checked(size: number, change: Change, perform: () => MaybePromise<void>): Co<void> {
    yield* this.#mutex.run(() => this.#checkedAlone(size, change, perform));
  }

  *#checkedAlone(size: number, change: Change, perform: () => MaybePromise<void>): Co<void> {
    const length = Math.min(PROBE_BYTES, size);
    const head = yield* this.#after(0, length, change);
    const tail = yield* this.#after(size - length, length, change);
    const { format } = probeFormats(this.#formats, { head, tail, size, filename: this.#filename });
    if (format !== 'raw') {
      throw new BlockError(
        'permission',
        `What is to be written would turn the image, whose format was only guessed to be 'raw', into one of the format '${format}': ` +
          `name the format 'raw' when it is opened if that is what it shall hold`,
      );
    }
    yield* settle(perform());
  }

  /** A range of the file as it will be. */
  *#after(from: number, length: number, change: Change): Co<Uint8Array> {
    const bytes = new Uint8Array(length);
    const held = Math.max(0, Math.min(length, this.#file.length - from));
    if (held > 0) yield* settle(this.#file.read(from, bytes.subarray(0, held)));
    const first = Math.max(from, change.offset);
    const end = Math.min(from + length, change.offset + change.length);
    if (first >= end) return bytes;
    if (change.data === undefined) bytes.fill(0, first - from, end - from);
    else bytes.set(change.data.subarray(first - change.offset, end - change.offset), first - from);
    return bytes;
  }
}

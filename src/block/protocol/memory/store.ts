/** The files that a memory protocol knows by name. They live as long as the store does. */
import { busyError, notFoundError } from '../shared/errors.ts';
import { SparseBytes } from './sparse-bytes.ts';

/** A file's bytes and who uses them: one writer, or any number of readers. */
export class MemoryFile {
  readonly name: string;
  bytes: SparseBytes;
  #readers = 0;
  #writers = 0;

  constructor(name: string, size: number) {
    this.name = name;
    this.bytes = new SparseBytes(size);
  }

  get inUse(): boolean {
    return this.#readers + this.#writers > 0;
  }

  /**
   * @param forceShare a reader that does not mind a writer
   * @throws BlockError `busy`
   */
  acquire(readOnly: boolean, forceShare: boolean): void {
    const refused = readOnly ? this.#writers > 0 && !forceShare : this.inUse;
    if (refused)
      throw busyError('memory', this.name, this.#writers > 0 ? 'a writer of this program' : 'a reader of this program');
    if (readOnly) this.#readers++;
    else this.#writers++;
  }

  release(readOnly: boolean): void {
    if (readOnly) this.#readers--;
    else this.#writers--;
  }
}

export class MemoryStore {
  readonly #files = new Map<string, MemoryFile>();

  /** @throws BlockError `not-found` */
  get(name: string): MemoryFile {
    const file = this.#files.get(name);
    if (file === undefined) throw notFoundError('memory', name, 'create it first, or give the size of a new one');
    return file;
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }

  /**
   * Makes a file of zeroes; one that exists is emptied.
   *
   * @param size bytes
   * @throws BlockError `busy`
   */
  create(name: string, size: number): MemoryFile {
    this.#refuseUsed(name);
    const file = new MemoryFile(name, size);
    this.#files.set(name, file);
    return file;
  }

  /** @throws BlockError `not-found`, `busy` */
  delete(name: string): void {
    this.get(name);
    this.#refuseUsed(name);
    this.#files.delete(name);
  }

  /** The names of all files, sorted. */
  names(): string[] {
    return [...this.#files.keys()].toSorted();
  }

  #refuseUsed(name: string): void {
    if (this.#files.get(name)?.inUse === true) throw busyError('memory', name, 'this program');
  }
}

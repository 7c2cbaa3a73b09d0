/**
 * A storage in memory that remembers every change and every flush, so that `power-cut.ts` can rebuild what a disk could hold
 * after losing power at any point. Synchronous, or asynchronous with requests that finish in a seeded random order.
 */
import type { MaybePromise } from '../../src/block/co.ts';
import { BYTE_LIMITS, type BlockLimits, type Storage } from '../../src/block/driver.ts';
import { BlockError } from '../../src/block/error.ts';
import { equalBytes, type Random } from './random.ts';
import { SparseBytes } from './sparse-bytes.ts';

export type Change = (
  | { readonly kind: 'write'; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: 'zero'; readonly offset: number; readonly length: number }
  | { readonly kind: 'truncate'; readonly length: number }
) & { readonly file?: WhichFile };

/** The storage's own file, or the one beside it. */
type WhichFile = 'beside' | undefined;

/** A moment in the life of a storage: a change or a flush began or was answered. The log is a list of them. */
export type LogEvent =
  | { readonly kind: 'begin'; readonly id: number; readonly change: Change }
  | { readonly kind: 'end'; readonly id: number }
  | { readonly kind: 'flush-begin'; readonly id: number; readonly file?: WhichFile }
  | { readonly kind: 'flush-end'; readonly id: number };

export interface SimulatedStorageOptions {
  /** What the storage holds at first, on stable storage. */
  readonly initial?: Uint8Array | SparseBytes;
  /** Makes it asynchronous; chooses the order in which requests finish. */
  readonly random?: Random;
  readonly readOnly?: boolean;
  readonly limits?: Partial<BlockLimits>;
  /** Whether it makes zeroes itself; if not the core writes them. */
  readonly zeroes?: boolean;
  /** Swallows flushes: they are answered and never happened. For tests that must fail. */
  readonly ignoreFlushes?: boolean;
  readonly discards?: boolean;
}

export class SimulatedStorage implements Storage {
  readonly synchronous: boolean;
  readonly readOnly: boolean;
  readonly limits: BlockLimits;
  readonly log: LogEvent[] = [];
  /** What the storage held at the start of the log. */
  readonly initial: SparseBytes;
  readonly content: SparseBytes;
  closed = false;
  writeZeroes?: (offset: number, length: number, mayUnmap: boolean) => MaybePromise<void>;
  discard?: (offset: number, length: number) => MaybePromise<void>;
  readonly #random: Random | undefined;
  readonly #ignoreFlushes: boolean;
  readonly #waiting: (() => void)[] = [];
  #pumping = false;
  #nextId = 1;

  constructor(options: SimulatedStorageOptions = {}) {
    const { initial } = options;
    this.initial = initial instanceof SparseBytes ? initial.copy() : SparseBytes.from(initial ?? new Uint8Array(0));
    this.content = this.initial.copy();
    this.#random = options.random;
    this.#ignoreFlushes = options.ignoreFlushes ?? false;
    this.synchronous = options.random === undefined;
    this.readOnly = options.readOnly ?? false;
    this.limits = { ...BYTE_LIMITS, ...options.limits };
    if (options.zeroes !== false) {
      this.writeZeroes = (offset, length) => this.#change({ kind: 'zero', offset, length });
    }
    if (options.discards !== false) {
      this.discard = (offset, length) => this.#discard(offset, length);
    }
  }

  /** How much has happened so far: a place in the log where the power could be cut. */
  get position(): number {
    return this.log.length;
  }

  /** A second file on the same disk, with the same log: the power goes off for both. Undefined where `initial` has none. */
  get beside(): Storage | undefined {
    if (this.content.beside === undefined) return undefined;
    const { synchronous, readOnly, limits, writeZeroes, discard } = this;
    const file = 'beside';
    return {
      synchronous,
      readOnly,
      limits,
      getLength: () => this.getLength(file),
      read: (offset, buffer) => this.read(offset, buffer, file),
      write: (offset, data) => this.write(offset, data, file),
      ...(writeZeroes && { writeZeroes: (offset, length) => this.#change({ kind: 'zero', offset, length, file }) }),
      ...(discard && { discard: (offset, length) => this.#discard(offset, length, file) }),
      truncate: (length) => this.truncate(length, file),
      flush: () => this.flush(file),
      close: () => undefined,
    };
  }

  getLength(file?: WhichFile): MaybePromise<number> {
    return this.#answer(() => fileOf(this.content, file).length);
  }

  read(offset: number, buffer: Uint8Array, file?: WhichFile): MaybePromise<void> {
    this.#checkRequest(offset, buffer.length);
    return this.#answer(() => fileOf(this.content, file).read(offset, buffer));
  }

  write(offset: number, data: Uint8Array, file?: WhichFile): MaybePromise<void> {
    const copy = data.slice();
    return this.#change({ kind: 'write', offset, data: copy, file }, () => {
      if (!equalBytes(copy, data))
        throw new Error(`the ${data.length} bytes written at ${offset} were changed in flight`);
    });
  }

  truncate(length: number, file?: WhichFile): MaybePromise<void> {
    return this.#change({ kind: 'truncate', length, file });
  }

  flush(file?: WhichFile): MaybePromise<void> {
    this.#checkOpen();
    if (this.#ignoreFlushes) return this.#answer(() => undefined);
    const id = this.#nextId++;
    this.log.push({ kind: 'flush-begin', id, file });
    return this.#answer(() => {
      this.log.push({ kind: 'flush-end', id });
    });
  }

  close(): MaybePromise<void> {
    this.closed = true;
  }

  #discard(offset: number, length: number, file?: WhichFile): MaybePromise<void> {
    const end = Math.min(offset + length, fileOf(this.content, file).length);
    if (end <= offset) return this.#answer(() => undefined);
    return this.#change({ kind: 'zero', offset, length: end - offset, file });
  }

  #change(change: Change, atEnd?: () => void): MaybePromise<void> {
    if (change.kind !== 'truncate') {
      this.#checkRequest(change.offset, change.kind === 'write' ? change.data.length : change.length);
    }
    this.#checkOpen();
    if (this.readOnly) throw new BlockError('permission', 'The simulated storage was opened read-only');
    const id = this.#nextId++;
    this.log.push({ kind: 'begin', id, change });
    return this.#answer(() => {
      atEnd?.();
      applyChange(this.content, change);
      this.log.push({ kind: 'end', id });
    });
  }

  #checkOpen(): void {
    if (this.closed) throw new BlockError('closed', 'The simulated storage was closed');
  }

  #checkRequest(offset: number, length: number): void {
    this.#checkOpen();
    const alignment = this.limits.requestAlignment;
    if (!Number.isSafeInteger(offset) || offset < 0) throw new Error(`offset ${offset} reached the storage`);
    if (offset % alignment !== 0 || length % alignment !== 0) {
      throw new Error(`an unaligned request reached the storage: offset ${offset}, length ${length}`);
    }
    if (length === 0) throw new Error(`an empty request at offset ${offset} reached the storage`);
  }

  #answer<T>(finish: () => T): MaybePromise<T> {
    if (this.#random === undefined) return finish();
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push(() => {
        try {
          resolve(finish());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
      if (!this.#pumping) {
        this.#pumping = true;
        void this.#pump(this.#random as Random); // Never rejects: what a request throws goes to its own promise.
      }
    });
  }

  /** Finishes waiting requests one by one in random order, and lets others come in between. */
  async #pump(random: Random): Promise<void> {
    while (this.#waiting.length > 0) {
      for (let pause = random.below(12); pause >= 0; pause--) await Promise.resolve();
      const [next] = this.#waiting.splice(random.below(this.#waiting.length), 1);
      next?.();
    }
    this.#pumping = false;
  }
}

function fileOf(content: SparseBytes, file: WhichFile): SparseBytes {
  return file === undefined ? content : content.beside!;
}

/** Does to the bytes what a change does to a storage. */
export function applyChange(disk: SparseBytes, change: Change): void {
  const content = fileOf(disk, change.file);
  switch (change.kind) {
    case 'write':
      content.write(change.offset, change.data);
      return;
    case 'zero':
      content.zero(change.offset, change.length);
      return;
    case 'truncate':
      content.truncate(change.length);
  }
}

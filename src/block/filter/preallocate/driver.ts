/**
 * `preallocate`: makes the file longer ahead of the writes that extend it, and cuts it back when it is closed. It goes between a
 * format and its file.
 *
 * Source: QEMU, QAPI, BlockdevOptionsPreallocate. QEMU lets the file system allocate what is ahead; here the file is made longer,
 * which is the part of it that every storage can do.
 */
import { chain, settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { BlockChild, Filter, FilterDriver, RequestFlags } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema } from '../../options.ts';

const SECTOR_BYTES = 512;

const schema = {
  'prealloc-align': { type: 'size', help: 'the file ends at a multiple of this many bytes', default: 1048576 },
  'prealloc-size': { type: 'size', help: 'bytes that are made ahead', default: 134217728 },
} as const satisfies OptionSchema;

export const preallocate: FilterDriver<typeof schema> = {
  kind: 'filter',
  name: 'preallocate',
  options: schema,

  // A coroutine by its type; nothing has to be read.
  // oxlint-disable-next-line require-yield
  *open({ file, flags, options }): Co<Filter> {
    const align = options['prealloc-align'];
    if (align === 0 || align % SECTOR_BYTES !== 0) {
      throw new BlockError(
        'invalid',
        `prealloc-align parameter of preallocate filter is not aligned to ${SECTOR_BYTES}`,
      );
    }
    return flags.readOnly ? {} : new PreallocateFilter(file, align, options['prealloc-size']);
  },
};

class PreallocateFilter implements Filter {
  readonly synchronous = true;
  readonly #align: number;
  readonly #size: number;
  /** Where the data ends: the length that the filter shows. */
  #dataEnd: number;
  /** The file itself ends there, at or behind `#dataEnd`. */
  #fileEnd: number;
  /** A storage that refused once is not asked again. */
  #refused = false;

  constructor(file: BlockChild, align: number, size: number) {
    this.#align = align;
    this.#size = size;
    this.#dataEnd = file.length;
    this.#fileEnd = file.length;
  }

  length(): number {
    return this.#dataEnd;
  }

  write(next: BlockChild, offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    const end = offset + data.length;
    if (end <= this.#fileEnd) return chain(next.write(offset, data, flags), () => this.#wrote(end));
    return start(this.#extend(next, end, () => next.write(offset, data, flags)));
  }

  writeZeroes(next: BlockChild, offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    const end = offset + length;
    // What is ahead of the data reads as zeroes already.
    if (offset >= this.#dataEnd && end <= this.#fileEnd) return this.#wrote(end);
    if (end <= this.#fileEnd) return chain(next.writeZeroes(offset, length, flags), () => this.#wrote(end));
    return start(this.#extend(next, end, () => next.writeZeroes(offset, length, flags)));
  }

  *#extend(next: BlockChild, end: number, write: () => MaybePromise<void>): Co<void> {
    yield* this.#preallocate(next, end);
    yield* settle(write());
    this.#wrote(end);
    this.#fileEnd = Math.max(this.#fileEnd, next.length);
  }

  /** Makes the file longer. That it cannot be is no failure of the write that comes: it may still fit. */
  *#preallocate(next: BlockChild, end: number): Co<void> {
    if (this.#refused) return;
    const wanted = end + this.#size;
    const target = wanted + ((this.#align - (wanted % this.#align)) % this.#align);
    if (!Number.isSafeInteger(target) || target <= next.length) return;
    try {
      yield* settle(next.truncate(target));
      this.#fileEnd = Math.max(this.#fileEnd, target);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      this.#refused = true;
    }
  }

  truncate(next: BlockChild, length: number): MaybePromise<void> {
    if (length > this.#dataEnd && length <= this.#fileEnd) {
      this.#dataEnd = length;
      return;
    }
    return chain(next.truncate(length), () => {
      this.#dataEnd = length;
      this.#fileEnd = length;
    });
  }

  close(next: BlockChild): MaybePromise<void> {
    if (this.#fileEnd <= this.#dataEnd) return;
    return start(this.#cutBack(next));
  }

  *#cutBack(next: BlockChild): Co<void> {
    yield* settle(next.truncate(this.#dataEnd));
    yield* settle(next.flush());
  }

  #wrote(end: number): void {
    this.#dataEnd = Math.max(this.#dataEnd, end);
  }
}

/**
 * `raw`: guest bytes are the file's bytes. `offset` and `size` show a window of a file as a disk.
 *
 * Source: QEMU, "blockdev-add", BlockdevOptionsRaw.
 */
import { chain, settle, start, type Co, type MaybePromise } from '../../co.ts';
import {
  NO_CAPABILITIES,
  BYTE_LIMITS,
  type BlockChild,
  type FormatDriver,
  type FormatImage,
  type FormatInfo,
  type OpenContext,
  type Preallocation,
} from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { dataExtent, type Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { reserveZeroes } from '../shared/reserve.ts';
import { roundUp } from '../../../binary/round-up.ts';

const openOptions = {
  offset: { type: 'size', help: 'where in the file the disk begins, in bytes', default: 0 },
  size: { type: 'size', help: 'how much of the file is the disk, in bytes; without it, all from the offset on' },
} as const satisfies OptionSchema;

const createOptions = {
  size: { type: 'size', help: 'Virtual disk size', required: true },
  preallocation: {
    type: 'enum',
    values: ['off', 'falloc', 'full'],
    help: 'Preallocation mode (allowed values: off, falloc, full)',
    default: 'off',
  },
} as const satisfies OptionSchema;

export const raw: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'raw',
  capabilities: { ...NO_CAPABILITIES, write: true, create: true, resize: true },
  openOptions,
  createOptions,

  /** Anything can be raw: the score is the lowest there is, so every format that knows a file wins. */
  probe: () => 1,

  // A coroutine by its type; nothing has to be read to open a raw image.
  // oxlint-disable-next-line require-yield
  *open(context): Co<FormatImage> {
    return new RawImage(context);
  },

  *create(file, options, { progress }): Co<void> {
    const size = roundUp(options.size, SECTOR_SIZE);
    yield* settle(file.truncate(size));
    if (options.preallocation !== 'off') {
      let done = 0;
      yield* reserveZeroes(file, 0, size, options.preallocation, (bytes) => progress?.report((done += bytes), size));
    }
    progress?.report(size, size);
    yield* settle(file.flush());
  },

  sequential: {
    unit: SECTOR_SIZE,
    storesZeroes: true,
    layout: (virtualSize) => ({ totalBytes: virtualSize, head: () => [] }),
  },

  measure: (options) => {
    const size = roundUp(options.size, SECTOR_SIZE);
    return { required: size, fullyAllocated: size };
  },
};

class RawImage implements FormatImage {
  readonly limits = BYTE_LIMITS;
  readonly allocationUnit = 1;
  readonly backing = undefined;
  readonly hasZeroInit = true;
  readonly statusFromFile = true;
  readonly #file: BlockChild;
  readonly #offset: number;
  readonly #hasSize: boolean;
  /** A last sector that is not whole is shown whole, with zeroes: guests know only sectors. */
  #virtualSize: number;

  constructor({ file, options }: OpenContext<OptionValues<typeof openOptions>>) {
    const { offset, size } = options;
    if (offset > file.length) {
      throw new BlockError(
        'invalid',
        `Offset (${offset}) cannot be greater than size of the containing file (${file.length})`,
      );
    }
    if (size !== undefined && offset + size > file.length) {
      throw new BlockError(
        'invalid',
        `The sum of offset (${offset}) and size (${size}) has to be smaller or equal to the actual size of the containing file (${file.length})`,
      );
    }
    if ((size ?? 0) % SECTOR_SIZE !== 0) {
      throw new BlockError('invalid', `Specified size is not multiple of ${SECTOR_SIZE}`);
    }
    this.#file = file;
    this.#offset = offset;
    this.#hasSize = size !== undefined;
    this.#virtualSize = roundUp(size ?? file.length - offset, SECTOR_SIZE);
  }

  get virtualSize(): number {
    return this.#virtualSize;
  }

  map(offset: number, length: number): Extent {
    // What was padded to a whole sector is mapped too: past its end the file reads as zeroes, and grows when written.
    return dataExtent(this.#file, this.#offset + offset, length, true);
  }

  resize(virtualSize: number, preallocation: Preallocation): MaybePromise<void> {
    if (this.#hasSize) {
      throw new BlockError(
        'unsupported',
        "A raw image with a 'size' option is a window of its file and cannot be resized",
      );
    }
    if (preallocation === 'metadata') {
      throw new BlockError('unsupported', 'Unsupported preallocation mode: metadata');
    }
    if (preallocation !== 'off' && virtualSize < this.#virtualSize) {
      throw new BlockError('invalid', 'Cannot use preallocation for shrinking files');
    }
    const resized =
      preallocation === 'off' || virtualSize <= this.#virtualSize
        ? this.#file.truncate(this.#offset + virtualSize)
        : start(this.#growReserved(virtualSize, preallocation));
    return chain(resized, () => {
      this.#virtualSize = roundUp(virtualSize, SECTOR_SIZE);
    });
  }

  /** All of it or nothing: a disk that could not get its space stays as long as it was. */
  *#growReserved(virtualSize: number, mode: 'falloc' | 'full'): Co<void> {
    const before = this.#virtualSize;
    try {
      yield* reserveZeroes(this.#file, this.#offset + before, virtualSize - before, mode);
    } catch (error) {
      yield* settle(this.#file.truncate(this.#offset + before));
      throw error;
    }
  }

  info(): FormatInfo {
    return { format: 'raw', virtualSize: this.virtualSize, specific: {} };
  }

  close(): void {
    // There is nothing to write back: every write went to the file.
  }
}

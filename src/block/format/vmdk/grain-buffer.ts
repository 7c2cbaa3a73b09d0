import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';

/** A grain in memory that is written to as if it were a file. */
export class GrainBuffer implements BlockChild {
  readonly name = 'grain';
  readonly nodeName = '';
  readonly readOnly = false;
  readonly synchronous = true;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  read(offset: number, buffer: Uint8Array): void {
    buffer.set(this.#bytes.subarray(offset, offset + buffer.length));
  }

  write(offset: number, data: Uint8Array): void {
    this.#bytes.set(data, offset);
  }

  writeZeroes(offset: number, length: number): void {
    this.#bytes.fill(0, offset, offset + length);
  }

  discard(): void {
    // There is no space to give back.
  }

  truncate(): never {
    throw new BlockError('internal', 'A grain has one length');
  }

  flush(): void {
    // It is in memory.
  }

  allocatedSize(): undefined {
    return undefined;
  }

  event(): void {
    // Nobody listens.
  }
}

/** What a disk is made of, one behind the other. Offsets are those in the extent. */
import type { Co, MaybePromise } from '../../co.ts';
import type { Allocation, BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { dataExtent, zeroExtent, type Extent } from '../../extent.ts';
import type { CheckFindings } from '../shared/check-findings.ts';
import { inPlace } from '../shared/in-place.ts';

/** `qemu-img info` shows them under `extents`. */
export interface ExtentFacts {
  readonly filename: string;
  /** As the descriptor says it; empty for an extent that holds its descriptor itself. */
  readonly format: string;
}

export interface DiskExtent {
  /** Bytes. */
  readonly length: number;
  readonly facts: ExtentFacts;
  /** Bytes; undefined: it has no grains. */
  readonly grainSize?: number | undefined;
  readonly compressed?: boolean;
  /** Its data may lie in holes of its file. */
  readonly dataInHoles?: true;
  /** Why it cannot be written, if it is so. */
  readonly readOnlyBecause?: string | undefined;
  /** @param writable whether data may be written in place now */
  map(offset: number, length: number, writable: boolean): MaybePromise<Extent>;
  /** Room for a write into the range's start: what there is, or else new. */
  allocate(offset: number, length: number): Co<Allocation>;
  /** As `FormatImage.markZero`. */
  markZero?(offset: number, length: number): Co<number>;
  readEncoded?(offset: number, buffer: Uint8Array): MaybePromise<void>;
  /** Stores whole grains compressed, which nothing was stored for before. */
  writeCompressed?(offset: number, data: Uint8Array): Co<void>;
  flush?(): Co<void>;
  check?(start: number, findings: CheckFindings): Co<void>;
}

/** Guest bytes as they are, from an offset of a file on. */
export class FlatExtent implements DiskExtent {
  readonly dataInHoles = true;
  readonly length: number;
  readonly facts: ExtentFacts;
  readonly readOnlyBecause: string | undefined;
  readonly #file: BlockChild;
  readonly #offset: number;

  /** @param offset bytes in the file, where the extent begins; it ends before the file does */
  constructor(file: BlockChild, offset: number, length: number, facts: ExtentFacts, readOnlyBecause?: string) {
    this.#file = file;
    this.#offset = offset;
    this.length = length;
    this.facts = facts;
    this.readOnlyBecause = readOnlyBecause;
  }

  map(offset: number, length: number, writable: boolean): Extent {
    return dataExtent(this.#file, this.#offset + offset, length, writable);
  }

  // oxlint-disable-next-line require-yield -- as for extents that must wait
  *allocate(offset: number, length: number): Co<Allocation> {
    return inPlace(this.#file, this.#offset + offset, length);
  }

  *flush(): Co<void> {
    const flushed = this.#file.flush();
    if (flushed instanceof Promise) yield flushed;
  }
}

/** Zeroes that are stored nowhere. */
export class ZeroExtent implements DiskExtent {
  readonly length: number;
  readonly facts: ExtentFacts = { filename: 'ZERO', format: 'ZERO' };
  readonly readOnlyBecause = 'an extent of zeroes has no place for data';

  constructor(length: number) {
    this.length = length;
  }

  map(_offset: number, length: number): Extent {
    return zeroExtent(length);
  }

  allocate(): never {
    throw new BlockError('permission', `It cannot be written: ${this.readOnlyBecause}`);
  }
}

/** An extent that nothing can be read of. */
export class ClosedExtent implements DiskExtent {
  readonly length: number;
  readonly facts: ExtentFacts;
  readonly readOnlyBecause: string;

  /** @param why for the error's message, a sentence's end */
  constructor(length: number, facts: ExtentFacts, why: string) {
    this.length = length;
    this.facts = facts;
    this.readOnlyBecause = why;
  }

  map(): never {
    return this.allocate();
  }

  allocate(): never {
    const { filename } = this.facts;
    throw new BlockError('permission', `The extent '${filename}' cannot be accessed: ${this.readOnlyBecause}`);
  }
}

import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { Allocation } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { backingExtent, dataExtent, encodedExtent, zeroExtent, type Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { CheckFindings } from '../shared/check-findings.ts';
import { checkSparse } from './check.ts';
import { GrainBuffer } from './grain-buffer.ts';
import { inPlace } from '../shared/in-place.ts';
import type { DiskExtent, ExtentFacts } from './disk-extent.ts';
import type { CompressedGrains } from './compressed-grains.ts';
import { ENTRY_ZERO } from './layout.ts';
import type { SparseTables } from './tables.ts';

/** An allocation covers this many bytes at most: its grains lie in a row behind the end of the file. */
const MAX_ALLOCATION = 2 ** 20;

/** An extent with grains that are there or not. */
export class SparseExtent implements DiskExtent {
  readonly length: number;
  readonly facts: ExtentFacts;
  readonly grainSize: number;
  readonly compressed: boolean;
  readonly readOnlyBecause: string | undefined;
  readonly #tables: SparseTables;
  readonly #grains: CompressedGrains | undefined;

  /**
   * @param length bytes, no more than the header's capacity
   * @param grains for an extent whose grains are compressed
   */
  constructor(
    tables: SparseTables,
    length: number,
    facts: ExtentFacts,
    grains: CompressedGrains | undefined,
    readOnlyBecause: string | undefined,
  ) {
    const { header } = tables;
    this.#tables = tables;
    this.#grains = grains;
    this.length = length;
    this.facts = facts;
    this.grainSize = header.grainSize;
    this.compressed = header.compressed;
    this.readOnlyBecause = readOnlyBecause ?? header.readOnlyBecause;
  }

  map(offset: number, length: number, writable: boolean): MaybePromise<Extent> {
    const slot = this.#tables.cache.lookup(this.#tableOf(offset));
    return slot >= 0 ? this.#mapSlot(slot, offset, length, writable) : start(this.#load(offset, length, writable));
  }

  #tableOf(offset: number): number {
    return Math.floor(offset / (this.grainSize * this.#tables.header.entriesPerTable));
  }

  *#load(offset: number, length: number, writable: boolean): Co<Extent> {
    const slot = yield* this.#tables.cache.load(this.#tableOf(offset));
    if (slot >= 0) return this.#mapSlot(slot, offset, length, writable);
    const span = this.grainSize * this.#tables.header.entriesPerTable;
    return backingExtent(Math.min(length, span - (offset % span)));
  }

  /** One extent: grains of the same kind in a row, data also in a row in the file; compressed ones singly. */
  #mapSlot(slot: number, offset: number, length: number, writable: boolean): Extent {
    const { grainSize } = this;
    const { entriesPerTable } = this.#tables.header;
    const inGrain = offset % grainSize;
    const index = Math.floor(offset / grainSize) % entriesPerTable;
    const place = this.#tables.grainPlace(slot, index, offset);
    if (place > ENTRY_ZERO && this.compressed) {
      return encodedExtent(Math.min(length, grainSize - inGrain), 'compressed', place);
    }
    const step = place > ENTRY_ZERO ? grainSize : 0;
    const wanted = Math.min(Math.ceil((inGrain + length) / grainSize), entriesPerTable - index);
    const first = offset - inGrain;
    let run = 1;
    while (run < wanted && this.#tables.grainPlace(slot, index + run, first + run * grainSize) === place + run * step) {
      run++;
    }
    const covered = Math.min(length, run * grainSize - inGrain);
    if (place === 0) return backingExtent(covered);
    if (place === ENTRY_ZERO) return zeroExtent(covered);
    return dataExtent(this.#tables.file, place + inGrain, covered, writable);
  }

  *allocate(offset: number, length: number): Co<Allocation> {
    return yield* this.#tables.lock.run(() => this.#allocate(offset, length));
  }

  *#allocate(offset: number, length: number): Co<Allocation> {
    const { grainSize } = this;
    const slot = yield* this.#tables.slotForWriting(this.#tableOf(offset));
    const extent = this.#mapSlot(slot, offset, Math.min(length, Math.max(MAX_ALLOCATION, grainSize)), true);
    if (extent.kind === 'data') return inPlace(extent.child, extent.hostOffset, extent.length);
    if (extent.kind === 'encoded') throw overwritten(offset);
    const copyBefore = offset % grainSize;
    if (this.compressed)
      return this.#bufferGrain(offset - copyBefore, copyBefore, Math.min(length, grainSize - copyBefore));
    const covered = extent.length;
    const grains = Math.ceil((copyBefore + covered) / grainSize);
    const host = this.#tables.take(grains * grainSize);
    return {
      child: this.#tables.file,
      hostOffset: host + copyBefore,
      length: covered,
      copyBefore,
      copyAfter: grains * grainSize - copyBefore - covered,
      // All of it is written: a file that ends inside a grain was cut off.
      zeroed: false,
      commit: () => start(this.#tables.lock.run(() => this.#publish(offset - copyBefore, grains, host / SECTOR_SIZE))),
      abort: () => {
        // Space behind the end that nothing leads to: it can only be left.
      },
    };
  }

  /** A grain that is written plain is put together in memory first, and compressed when it is whole. */
  #bufferGrain(grain: number, copyBefore: number, covered: number): Allocation {
    const whole = Math.min(this.grainSize, this.length - grain);
    const bytes = new Uint8Array(this.grainSize);
    return {
      child: new GrainBuffer(bytes),
      hostOffset: copyBefore,
      length: covered,
      copyBefore,
      copyAfter: whole - copyBefore - covered,
      zeroed: false,
      commit: () => start(this.writeCompressed(grain, bytes.subarray(0, whole))),
      abort: () => {
        // Nothing was taken.
      },
    };
  }

  /** @param sector where the first grain is in the file, or `ENTRY_ZERO` for all of them */
  *#publish(offset: number, grains: number, sector: number): Co<void> {
    const slot = yield* this.#tables.slotForWriting(this.#tableOf(offset));
    const first = Math.floor(offset / this.grainSize) % this.#tables.header.entriesPerTable;
    const step = sector === ENTRY_ZERO ? 0 : this.grainSize / SECTOR_SIZE;
    for (let index = 0; index < grains; index++) this.#tables.setEntry(slot, first + index, sector + index * step);
  }

  *markZero(offset: number, length: number): Co<number> {
    if (!this.#tables.header.zeroedGrains) return 0;
    return yield* this.#tables.lock.run(() => this.#markZero(offset, length));
  }

  /** Grains that hold data keep their place, which nobody could use again: zeroes are written into them. */
  *#markZero(offset: number, length: number): Co<number> {
    const extent = yield* settle(this.map(offset, length, true));
    if (extent.kind === 'data' || extent.kind === 'encoded') return 0;
    if (extent.kind === 'backing') yield* this.#publish(offset, Math.ceil(extent.length / this.grainSize), ENTRY_ZERO);
    return extent.length;
  }

  readEncoded(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const slot = this.#tables.cache.lookup(this.#tableOf(offset));
    return slot >= 0 ? this.#readGrain(slot, offset, buffer) : start(this.#loadAndRead(offset, buffer));
  }

  *#loadAndRead(offset: number, buffer: Uint8Array): Co<void> {
    const slot = yield* this.#tables.cache.load(this.#tableOf(offset));
    yield* settle(this.#readGrain(slot, offset, buffer));
  }

  #readGrain(slot: number, offset: number, buffer: Uint8Array): MaybePromise<void> {
    const extent = slot < 0 ? undefined : this.#mapSlot(slot, offset, buffer.length, false);
    if (extent?.kind !== 'encoded') throw new BlockError('internal', 'The grain is not compressed', { offset });
    const inGrain = offset % this.grainSize;
    const grain = offset - inGrain;
    const whole = Math.min(this.grainSize, this.length - grain);
    return this.#grains!.read({ place: extent.hostOffset, offset: grain, length: whole }, inGrain, buffer);
  }

  *writeCompressed(offset: number, data: Uint8Array): Co<void> {
    const pieces = yield* this.#grains!.compress(offset, data);
    yield* this.#tables.lock.run(() => this.#storeCompressed(pieces));
  }

  *#storeCompressed(pieces: readonly { readonly offset: number; readonly bytes: Uint8Array }[]): Co<void> {
    for (const { offset, bytes } of pieces) {
      const slot = yield* this.#tables.slotForWriting(this.#tableOf(offset));
      if (this.#mapSlot(slot, offset, 1, false).kind === 'encoded') throw overwritten(offset);
      const place = this.#tables.take(bytes.length);
      this.#tables.file.event('write_compressed');
      yield* settle(this.#tables.file.write(place, bytes));
      yield* this.#publish(offset, 1, place / SECTOR_SIZE);
    }
  }

  *flush(): Co<void> {
    if (this.readOnlyBecause === undefined) yield* this.#tables.lock.run(() => this.#tables.writeBack());
  }

  *check(diskOffset: number, findings: CheckFindings): Co<void> {
    yield* this.#tables.lock.run(() => checkSparse(this.#tables, diskOffset, findings));
  }
}

function overwritten(offset: number): BlockError {
  return new BlockError(
    'unsupported',
    'A grain of a streamOptimized image cannot be written a second time: convert it to another subformat, or put an overlay over it',
    { offset },
  );
}

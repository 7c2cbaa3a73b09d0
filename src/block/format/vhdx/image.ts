import { CoMutex, settle, start, type Co, type MaybePromise } from '../../co.ts';
import {
  BYTE_LIMITS,
  type Allocation,
  type BlockChild,
  type BlockLimits,
  type CheckFix,
  type CheckResult,
  type FormatImage,
  type FormatInfo,
  type Progress,
} from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { backingExtent, dataExtent, zeroExtent, type Extent } from '../../extent.ts';
import { randomGuid } from '../shared/guid.ts';
import { NO_PLACE, placeBehind, ZERO_PLACE, type BlockAllocationTable } from './bat.ts';
import { checkBlocks } from './check.ts';
import { checkLogForWriting, type VhdxHeaders } from './header.ts';
import { NO_GUID } from './layout.ts';
import { LogWriter } from './log-writer.ts';
import type { VhdxMetadata } from './metadata.ts';
import { inPlace } from '../shared/in-place.ts';

/** How the log was found when the image was opened. */
export type LogState = 'empty' | 'replayed' | 'pending';

/**
 * An opened VHDX image.
 *
 * Nothing is written before the guest writes: then both headers get new GUIDs, and until that is done no place is writable. After
 * that data goes straight to its place, and entries of the table go through the log.
 */
export class VhdxImage implements FormatImage {
  readonly limits: BlockLimits;
  readonly allocationUnit: number;
  readonly backing = undefined;
  readonly hasZeroInit = true;
  readonly virtualSize: number;
  readonly #file: BlockChild;
  readonly #metadata: VhdxMetadata;
  readonly #headers: VhdxHeaders;
  readonly #bat: BlockAllocationTable;
  readonly #log: LogWriter;
  readonly #lock = new CoMutex();
  readonly #logState: LogState;
  /** Places of blocks that were taken, and whose writes failed. */
  readonly #returned: number[] = [];
  #readOnly: boolean;
  /** The headers say that the file is being changed. */
  #begun = false;

  constructor(headers: VhdxHeaders, bat: BlockAllocationTable, readOnly: boolean, logState: LogState) {
    const { blockSize, virtualSize } = bat.metadata;
    this.#file = bat.file;
    this.#metadata = bat.metadata;
    this.#headers = headers;
    this.#bat = bat;
    this.#log = new LogWriter(bat.file, headers);
    this.#readOnly = readOnly;
    this.#logState = logState;
    this.virtualSize = virtualSize;
    this.allocationUnit = blockSize;
    this.limits = { ...BYTE_LIMITS, writeZeroesAlignment: blockSize };
  }

  map(offset: number, length: number): MaybePromise<Extent> {
    if (this.#logState === 'pending') {
      throw new BlockError('corrupt', 'The log of the VHDX image must be replayed before it can be read');
    }
    const slice = this.#bat.sliceOf(Math.floor(offset / this.allocationUnit));
    const slot = this.#bat.lookup(slice);
    if (slot >= 0) return this.#mapSlot(slot, offset, length);
    return start(this.#loadAndMap(slice, offset, length));
  }

  *#loadAndMap(slice: number, offset: number, length: number): Co<Extent> {
    return this.#mapSlot(yield* this.#bat.load(slice), offset, length);
  }

  /** One extent: blocks of the same kind in a row, data also in a row in the file. */
  #mapSlot(slot: number, offset: number, length: number): Extent {
    const blockSize = this.allocationUnit;
    const inBlock = offset % blockSize;
    const block = Math.floor(offset / blockSize);
    const slice = this.#bat.sliceOf(block);
    const first = this.#bat.placeIn(slot, block);
    const step = first >= 0 ? blockSize : 0;
    const wanted = Math.ceil((inBlock + length) / blockSize);
    let run = 1;
    while (
      run < wanted &&
      this.#bat.sliceOf(block + run) === slice &&
      this.#bat.placeIn(slot, block + run) === first + run * step
    ) {
      run++;
    }
    const covered = Math.min(length, run * blockSize - inBlock);
    if (first === NO_PLACE) return backingExtent(covered);
    if (first === ZERO_PLACE) return zeroExtent(covered);
    return dataExtent(this.#file, first + inBlock, covered, this.#begun);
  }

  allocate(offset: number, length: number): MaybePromise<Allocation> {
    return start(this.#lock.run(() => this.#allocate(offset, length)));
  }

  *#allocate(offset: number, length: number): Co<Allocation> {
    const blockSize = this.allocationUnit;
    const inBlock = offset % blockSize;
    const block = Math.floor(offset / blockSize);
    const covered = Math.min(length, blockSize - inBlock);
    yield* this.#begin();
    const place = this.#bat.placeIn(yield* this.#bat.load(this.#bat.sliceOf(block)), block);
    if (place >= 0) return inPlace(this.#file, place + inBlock, covered);
    const host = yield* this.#take();
    return {
      child: this.#file,
      hostOffset: host + inBlock,
      length: covered,
      copyBefore: inBlock,
      copyAfter: blockSize - inBlock - covered,
      zeroed: true,
      commit: () => start(this.#lock.run(() => this.#bat.set(block, host, this.#log))),
      abort: () => {
        this.#returned.push(host);
      },
    };
  }

  /** @returns where a block of zeroes is that nothing leads to */
  *#take(): Co<number> {
    const blockSize = this.allocationUnit;
    const returned = this.#returned.pop();
    if (returned !== undefined) {
      try {
        yield* settle(this.#file.writeZeroes(returned, blockSize));
      } catch (error) {
        this.#returned.push(returned);
        throw error;
      }
      return returned;
    }
    const host = placeBehind(this.#file.length, blockSize);
    yield* settle(this.#file.truncate(host + blockSize));
    return host;
  }

  /** Says in the headers that the file is changed from now on, and the disk too. */
  *#begin(): Co<void> {
    if (this.#begun) return;
    yield* this.#headers.update({ fileWriteGuid: randomGuid(), dataWriteGuid: randomGuid(), logGuid: NO_GUID });
    this.#begun = true;
  }

  /** Blocks that hold data keep their place: zeroes are written into them. All others are zeroes. */
  markZero(offset: number, length: number): MaybePromise<number> {
    return start(this.#markZero(offset, length));
  }

  *#markZero(offset: number, length: number): Co<number> {
    const extent = yield* settle(this.map(offset, length));
    if (extent.kind !== 'data') return extent.length;
    // Now the place is writable.
    yield* this.#lock.run(() => this.#begin());
    return 0;
  }

  /** Space is given back to what the file lies on; blocks keep their places. */
  discard(offset: number, length: number): MaybePromise<number> {
    return start(this.#discard(offset, length));
  }

  *#discard(offset: number, length: number): Co<number> {
    const extent = yield* settle(this.map(offset, length));
    if (extent.kind !== 'data' || this.#metadata.leaveBlocksAllocated) return extent.length;
    yield* this.#lock.run(() => this.#begin());
    yield* settle(this.#file.discard(extent.hostOffset, extent.length));
    return extent.length;
  }

  check(fix: CheckFix, progress?: Progress): MaybePromise<CheckResult> {
    return start(this.#lock.run(() => this.#check(fix, progress)));
  }

  *#check(fix: CheckFix, progress: Progress | undefined): Co<CheckResult> {
    if (this.#bat.dirty) yield* this.#bat.writeBack(this.#log);
    return yield* checkBlocks(this.#bat, this.#logState, fix, progress);
  }

  info(): FormatInfo {
    return {
      format: 'vhdx',
      virtualSize: this.virtualSize,
      clusterSize: this.allocationUnit,
      dirty: this.#logState === 'pending',
      specific: {},
    };
  }

  flush(): MaybePromise<void> {
    if (!this.#readOnly) return start(this.#lock.run(() => this.#bat.writeBack(this.#log)));
  }

  reopen(readOnly: boolean): MaybePromise<void> {
    if (this.#logState === 'pending') {
      throw new BlockError(
        'unsupported',
        'The log of the VHDX image must be replayed: close the image, and open it anew',
      );
    }
    return start(this.#reopen(readOnly));
  }

  *#reopen(readOnly: boolean): Co<void> {
    if (readOnly) yield* settle(this.close());
    else checkLogForWriting(this.#headers.current, this.#file.length);
    this.#readOnly = readOnly;
  }

  close(): MaybePromise<void> {
    if (this.#begun) return start(this.#lock.run(() => this.#end()));
  }

  *#end(): Co<void> {
    yield* this.#bat.writeBack(this.#log);
    yield* this.#log.close();
    this.#begun = false;
  }
}

import { isPromise, settle, start, type Co, type MaybePromise } from '../../co.ts';
import {
  BYTE_LIMITS,
  type Allocation,
  type BlockLimits,
  type CheckFix,
  type CheckResult,
  type FileReference,
  type FormatImage,
  type FormatInfo,
  type Preallocation,
  type Progress,
} from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { backingExtent, dataExtent, zeroExtent, type Extent } from '../../extent.ts';
import { checkTables } from './check.ts';
import { encodeHeader, isClusterPlace, maxImageSize, withBackingFile, type QedHeader } from './header.ts';
import { ENTRY_LENGTH, ENTRY_ZERO, FEATURE_BACKING_FORMAT_NO_PROBE, FEATURE_NEED_CHECK } from './layout.ts';
import type { QedTables } from './tables.ts';
import { roundUp } from '../../../binary/round-up.ts';

/** An allocation covers this many bytes at most: its clusters lie in a row behind the end of the file. */
const MAX_ALLOCATION = 2 ** 20;

/** An opened QED image. */
export class QedImage implements FormatImage {
  readonly limits: BlockLimits;
  readonly allocationUnit: number;
  readonly hasZeroInit = true;
  readonly #tables: QedTables;
  readonly #readOnly: boolean;
  readonly #clusterSize: number;

  constructor(tables: QedTables, readOnly: boolean) {
    const { clusterSize } = tables.header;
    this.#tables = tables;
    this.#readOnly = readOnly;
    this.#clusterSize = clusterSize;
    this.allocationUnit = clusterSize;
    this.limits = { ...BYTE_LIMITS, writeZeroesAlignment: clusterSize };
  }

  get virtualSize(): number {
    return this.#tables.header.imageSize;
  }

  get backing(): FileReference | undefined {
    const { backingFilename, features } = this.#tables.header;
    if (backingFilename === undefined) return undefined;
    const isRaw = (features & FEATURE_BACKING_FORMAT_NO_PROBE) !== 0n;
    return isRaw ? { filename: backingFilename, format: 'raw' } : { filename: backingFilename };
  }

  map(offset: number, length: number): MaybePromise<Extent> {
    const slice = this.#sliceAt(offset);
    const slot = this.#tables.l2.lookup(slice);
    return slot >= 0 ? this.#mapSlot(slot, offset, length) : start(this.#load(slice, offset, length));
  }

  #sliceAt(offset: number): number {
    return this.#tables.sliceOf(Math.floor(offset / this.#clusterSize));
  }

  *#load(slice: number, offset: number, length: number): Co<Extent> {
    const slot = yield* this.#tables.l2.load(slice);
    if (slot >= 0) return this.#mapSlot(slot, offset, length);
    const sliceSpan = this.#tables.entriesPerSlice * this.#clusterSize;
    return backingExtent(Math.min(length, sliceSpan - (offset % sliceSpan)));
  }

  /** One extent: clusters of the same kind in a row, data also in a row in the file. */
  #mapSlot(slot: number, offset: number, length: number): Extent {
    const clusterSize = this.#clusterSize;
    const inCluster = offset % clusterSize;
    const { entriesPerSlice } = this.#tables;
    const index = Math.floor(offset / clusterSize) % entriesPerSlice;
    const first = this.#entry(slot, index, offset);
    const step = first > ENTRY_ZERO ? clusterSize : 0;
    const wanted = Math.min(Math.ceil((inCluster + length) / clusterSize), entriesPerSlice - index);
    let run = 1;
    while (
      run < wanted &&
      this.#entry(slot, index + run, offset - inCluster + run * clusterSize) === first + run * step
    ) {
      run++;
    }
    const covered = Math.min(length, run * clusterSize - inCluster);
    if (first === 0) return backingExtent(covered);
    if (first === ENTRY_ZERO) return zeroExtent(covered);
    return dataExtent(this.#tables.file, first + inCluster, covered, true);
  }

  /** @throws BlockError `corrupt` when it leads to where no cluster can be */
  #entry(slot: number, index: number, guestOffset: number): number {
    const { l2, header, file } = this.#tables;
    const view = l2.view(slot);
    const at = l2.start(slot) + index * ENTRY_LENGTH;
    const value = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
    if (value <= ENTRY_ZERO || isClusterPlace(header, value, file.length)) return value;
    throw new BlockError(
      'corrupt',
      `The L2 entry of the guest cluster at offset ${guestOffset} leads to ${value}, where no cluster can be: check the image`,
      { offset: guestOffset },
    );
  }

  allocate(offset: number, length: number): MaybePromise<Allocation> {
    return start(this.#tables.lock.run(() => this.#allocate(offset, length)));
  }

  *#allocate(offset: number, length: number): Co<Allocation> {
    const clusterSize = this.#clusterSize;
    const slot = yield* this.#tables.slotForWriting(this.#sliceAt(offset));
    const covered = this.#mapSlot(slot, offset, Math.min(length, Math.max(MAX_ALLOCATION, clusterSize))).length;
    const copyBefore = offset % clusterSize;
    const clusters = Math.ceil((copyBefore + covered) / clusterSize);
    const host = this.#tables.take(clusters);
    return {
      child: this.#tables.file,
      hostOffset: host + copyBefore,
      length: covered,
      copyBefore,
      copyAfter: clusters * clusterSize - copyBefore - covered,
      // All of it is written: an image whose file ends inside a cluster has one too few.
      zeroed: false,
      commit: () => start(this.#tables.lock.run(() => this.#publish(offset - copyBefore, clusters, host))),
      abort: () => {
        // Space behind the end that nothing leads to: it can only be left.
      },
    };
  }

  /** @param host where the first cluster is in the file, or `ENTRY_ZERO` for all of them */
  *#publish(offset: number, clusters: number, host: number): Co<void> {
    const { l2, entriesPerSlice } = this.#tables;
    const slot = yield* this.#tables.slotForWriting(this.#sliceAt(offset));
    const view = l2.view(slot);
    const first = Math.floor(offset / this.#clusterSize) % entriesPerSlice;
    for (let index = 0; index < clusters; index++) {
      const value = host === ENTRY_ZERO ? ENTRY_ZERO : host + index * this.#clusterSize;
      const at = l2.start(slot) + (first + index) * ENTRY_LENGTH;
      view.setUint32(at, value % 2 ** 32, true);
      view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
    }
    l2.markDirty(slot);
  }

  /** Clusters that hold data keep their place, which nobody could use again: zeroes are written into them. */
  markZero(offset: number, length: number): MaybePromise<number> {
    return start(this.#tables.lock.run(() => this.#markZero(offset, length)));
  }

  *#markZero(offset: number, length: number): Co<number> {
    const extent = yield* settle(this.map(offset, length));
    if (extent.kind === 'data') return 0;
    if (extent.kind === 'backing') {
      yield* this.#publish(offset, Math.ceil(extent.length / this.#clusterSize), ENTRY_ZERO);
    }
    return extent.length;
  }

  resize(virtualSize: number, preallocation: Preallocation, zeroUntil: number): MaybePromise<void> {
    if (preallocation !== 'off') {
      throw new BlockError('unsupported', `Unsupported preallocation mode '${preallocation}'`);
    }
    return start(this.#tables.lock.run(() => this.#resize(virtualSize, zeroUntil)));
  }

  *#resize(virtualSize: number, zeroUntil: number): Co<void> {
    const { header } = this.#tables;
    if (virtualSize < header.imageSize) {
      throw new BlockError(
        'unsupported',
        'Shrinking of QED images is not possible: the format has no way to give space back',
      );
    }
    if (virtualSize > maxImageSize(header)) {
      throw new BlockError('invalid', `The tables of this image describe ${maxImageSize(header)} bytes at most`);
    }
    yield* this.#tables.writeBack();
    const grown = { ...header, imageSize: virtualSize };
    yield* this.#tables.grow(grown);
    yield* this.#zeroNew(roundUp(header.imageSize, this.#clusterSize), Math.min(zeroUntil, virtualSize));
    yield* this.#tables.writeBack();
    yield* this.#writeHeader(grown);
  }

  /** What the backing file has beyond the old end must not show. */
  *#zeroNew(from: number, until: number): Co<void> {
    for (let offset = from; offset < until;) {
      const extent = yield* settle(this.map(offset, until - offset));
      if (extent.kind === 'backing') {
        yield* this.#publish(offset, Math.ceil(extent.length / this.#clusterSize), ENTRY_ZERO);
      }
      offset += extent.length;
    }
  }

  changeBackingFile(reference: FileReference | undefined): MaybePromise<void> {
    const changed = withBackingFile(this.#tables.header, reference?.filename, reference?.format === 'raw');
    return start(this.#tables.lock.run(() => this.#writeHeader(changed)));
  }

  *#writeHeader(header: QedHeader): Co<void> {
    const { file } = this.#tables;
    yield* settle(file.write(0, encodeHeader(header)));
    yield* settle(file.flush());
    this.#tables.header = header;
  }

  check(fix: CheckFix, progress?: Progress): MaybePromise<CheckResult> {
    return start(this.#tables.lock.run(() => this.#check(this.#readOnly ? 'none' : fix, progress)));
  }

  *#check(fix: CheckFix, progress: Progress | undefined): Co<CheckResult> {
    if (!this.#readOnly) yield* this.#tables.writeBack();
    const { result, mended } = yield* checkTables(this.#tables, fix, progress);
    if (mended) {
      yield* this.#tables.writeBack();
      const { header } = this.#tables;
      if ((header.features & FEATURE_NEED_CHECK) !== 0n) {
        yield* this.#writeHeader({ ...header, features: header.features & ~FEATURE_NEED_CHECK });
      }
    }
    return result;
  }

  info(): FormatInfo {
    const { features } = this.#tables.header;
    const { backing } = this;
    return {
      format: 'qed',
      virtualSize: this.virtualSize,
      clusterSize: this.#clusterSize,
      ...(backing === undefined ? {} : { backingFilename: backing.filename }),
      ...(backing?.format === undefined ? {} : { backingFormat: backing.format }),
      dirty: (features & FEATURE_NEED_CHECK) !== 0n,
      specific: {},
    };
  }

  flush(): MaybePromise<void> {
    if (this.#readOnly) return;
    return start(this.#tables.lock.run(() => this.#tables.writeBack()));
  }

  close(): MaybePromise<void> {
    const flushed = this.flush();
    if (isPromise(flushed)) return flushed;
  }
}

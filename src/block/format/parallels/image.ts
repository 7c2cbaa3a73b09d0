import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import {
  BYTE_LIMITS,
  type Allocation,
  type BlockChild,
  type BlockLimits,
  type CheckFix,
  type CheckResult,
  type FormatImage,
  type FormatInfo,
  type OpenFlags,
  type Progress,
} from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { Extent } from '../../extent.ts';
import { BlockTable, UNALLOCATED } from '../shared/block-table.ts';
import { NumberTable } from '../shared/table-bytes.ts';
import { checkClusters } from './check.ts';
import type { Extension } from './extension.ts';
import type { ParallelsHeader } from './header.ts';
import { CLOSED_WITH_EXTENSION, ENTRY_LENGTH, FIELD, FLAG_EMPTY, HEADER_LENGTH, IN_USE } from './layout.ts';
import { roundUp } from '../../../binary/round-up.ts';

/** An opened Parallels image. */
export class ParallelsImage implements FormatImage {
  readonly limits: BlockLimits = BYTE_LIMITS;
  readonly allocationUnit: number;
  readonly hasZeroInit = true;
  readonly backing = undefined;
  readonly #file: BlockChild;
  readonly #header: ParallelsHeader;
  readonly #extension: Extension;
  readonly #flags: OpenFlags;
  readonly #bat: NumberTable;
  readonly #blocks: BlockTable;
  /** Who had it open before did not close it, and nobody has repaired it since. */
  #unclean: boolean;

  private constructor(
    file: BlockChild,
    header: ParallelsHeader,
    extension: Extension,
    bat: NumberTable,
    flags: OpenFlags,
  ) {
    const { clusterSize, entryUnit, dataStart, inUse } = header;
    this.#file = file;
    this.#header = header;
    this.#extension = extension;
    this.#bat = bat;
    this.#flags = flags;
    this.#unclean = inUse === IN_USE;
    this.allocationUnit = clusterSize;
    this.#blocks = new BlockTable({
      file,
      table: bat,
      blockSize: clusterSize,
      end: firstFree(header, bat, extension.end),
      limit: 2 ** 32 * entryUnit,
      decode: (entry) => (entry === 0 ? UNALLOCATED : checkPlace(entry * entryUnit, dataStart)),
      encode: (hostOffset) => hostOffset / entryUnit,
    });
  }

  static *load(file: BlockChild, header: ParallelsHeader, extension: Extension, flags: OpenFlags): Co<ParallelsImage> {
    const bytes = new Uint8Array(header.batEntries * ENTRY_LENGTH);
    yield* settle(file.read(HEADER_LENGTH, bytes));
    const bat = new NumberTable(HEADER_LENGTH, bytes, { bytes: 4, littleEndian: true });
    const image = new ParallelsImage(file, header, extension, bat, flags);
    if (!flags.readOnly) yield* image.#beginWriting();
    return image;
  }

  get virtualSize(): number {
    return this.#header.diskSize;
  }

  /** An image that was not closed is checked first: what a power cut leaves is mended, what it cannot have done is not. */
  *#beginWriting(): Co<void> {
    if (this.#unclean && this.#flags.check !== true) {
      const { corruptions } = yield* this.#check('leaks', false);
      if (corruptions > 0) {
        throw new BlockError(
          'corrupt',
          `parallels: Image was not closed correctly; cannot be opened read/write: ${corruptions} of its entries are wrong, check and repair it`,
        );
      }
      this.#unclean = false;
    }
    yield* this.#writeInUse(IN_USE);
  }

  *#writeInUse(inUse: number): Co<void> {
    const { bytes } = this.#header;
    const view = new DataView(bytes.buffer);
    view.setUint32(FIELD.inUse, inUse, true);
    view.setUint32(FIELD.flags, view.getUint32(FIELD.flags, true) & ~FLAG_EMPTY, true);
    yield* settle(this.#file.write(0, bytes));
    yield* settle(this.#file.flush());
  }

  map(offset: number, length: number): Extent {
    return this.#blocks.map(offset, length);
  }

  allocate(offset: number, length: number): MaybePromise<Allocation> {
    return this.#blocks.allocate(offset, length);
  }

  markZero(offset: number, length: number): MaybePromise<number> {
    return this.#blocks.markZero(offset, length, false);
  }

  check(fix: CheckFix, progress?: Progress): MaybePromise<CheckResult> {
    const allowed = this.#flags.readOnly ? 'none' : fix;
    return start(this.#blocks.lock.run(() => this.#checkAndClean(allowed, progress)));
  }

  *#checkAndClean(fix: CheckFix, progress?: Progress): Co<CheckResult> {
    const result = yield* this.#check(fix, this.#unclean, progress);
    if (fix === 'all') this.#unclean = false;
    return result;
  }

  *#check(fix: CheckFix, unclean: boolean, progress?: Progress): Co<CheckResult> {
    if (!this.#flags.readOnly) yield* this.#blocks.writeBack();
    const image = {
      file: this.#file,
      header: this.#header,
      bat: this.#bat,
      unclean,
      extensionEnd: this.#extension.end,
    };
    const { result, length } = yield* checkClusters(image, fix, progress);
    if (fix !== 'none') this.#blocks.endsAt(firstFree(this.#header, this.#bat, this.#extension.end));
    if (this.#bat.dirty) yield* this.#blocks.writeBack();
    if (length !== undefined) {
      yield* settle(this.#file.truncate(length));
      yield* settle(this.#file.flush());
    }
    return result;
  }

  info(): FormatInfo {
    return { format: 'parallels', virtualSize: this.virtualSize, dirty: this.#unclean, specific: this.#bitmaps() };
  }

  /** A program that does not know the extension leaves another mark when it closes the image: it may have missed writes then. */
  #bitmaps(): Readonly<Record<string, unknown>> {
    const { bitmaps } = this.#extension;
    if (bitmaps.length === 0) return {};
    const flags = this.#header.inUse === CLOSED_WITH_EXTENSION ? [] : ['in-use'];
    return { bitmaps: bitmaps.map(({ name, granularity }) => ({ flags, name, granularity })) };
  }

  flush(): MaybePromise<void> {
    if (!this.#flags.readOnly) return this.#blocks.flush();
  }

  close(): MaybePromise<void> {
    if (!this.#flags.readOnly) return start(this.#close());
  }

  /** Zero, as QEMU: whatever the format extension says was not kept up to date. */
  *#close(): Co<void> {
    yield* settle(this.#blocks.flush());
    if (!this.#unclean) yield* this.#writeInUse(0);
  }
}

/** @throws BlockError `corrupt` for an entry that leads into the header or the table itself */
function checkPlace(place: number, dataStart: number): number {
  if (place >= dataStart) return place;
  throw new BlockError(
    'corrupt',
    `An entry of the allocation table leads to ${place}, before the data of the image at ${dataStart}: check the image`,
  );
}

/** Behind all clusters that an entry leads to, a whole number of clusters from where data begins. */
function firstFree(
  { batEntries, entryUnit, clusterSize, dataStart }: ParallelsHeader,
  bat: NumberTable,
  atLeast: number,
) {
  let end = Math.max(dataStart, atLeast);
  for (let index = 0; index < batEntries; index++) {
    const entry = bat.get(index);
    if (entry !== 0) end = Math.max(end, entry * entryUnit + clusterSize);
  }
  return dataStart + roundUp(end - dataStart, clusterSize);
}

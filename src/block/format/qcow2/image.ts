/** An opened qcow2 image: the verbs that the core calls, each handed on to the file that knows it. */
import { chain, start, type Co, type MaybePromise } from '../../co.ts';
import {
  BYTE_LIMITS,
  type Allocation,
  type AmendContext,
  type BlockLimits,
  type CheckFix,
  type CheckResult,
  type FileReference,
  type FormatImage,
  type FormatInfo,
  type Preallocation,
  type Progress,
  type RequestFlags,
  type SnapshotTable,
} from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { allocate } from './allocate.ts';
import { amend } from './amend.ts';
import type { AmendOptions } from './amend-options.ts';
import type { Qcow2Bitmaps } from './bitmaps.ts';
import { CompressedReader } from './compressed.ts';
import { writeCompressed } from './compressed-write.ts';
import { checkImage } from './check.ts';
import { writeObstacle } from './features.ts';
import { changeBackingFile, setBackingIdentity } from './header-change.ts';
import { backingFileOf, backingFormatOf, backingIdentityOf, diskSizeOf, wholeSectors } from './header.ts';
import { formatInfo } from './info.ts';
import { makeEmpty } from './make-empty.ts';
import { Mapper } from './map.ts';
import type { Metadata } from './metadata.ts';
import { resize } from './resize.ts';
import { Qcow2Snapshots } from './snapshots.ts';
import { readWholeTables } from './whole-tables.ts';
import { discard, markZero } from './zero.ts';

export class Qcow2Image implements FormatImage {
  readonly limits: BlockLimits;
  readonly allocationUnit: number;
  readonly zeroUnit: number;
  readonly hasZeroInit = true;
  readonly #metadata: Metadata;
  readonly #mapper: Mapper;
  readonly snapshots: SnapshotTable;
  readonly #compressed: CompressedReader;
  readonly bitmaps: Qcow2Bitmaps;
  #virtualSize: number;

  constructor(metadata: Metadata, bitmaps: Qcow2Bitmaps) {
    const { clusterSize, subclusterSize } = metadata.geometry;
    this.#metadata = metadata;
    this.bitmaps = bitmaps;
    this.#mapper = new Mapper(metadata);
    this.#compressed = new CompressedReader(metadata);
    this.#virtualSize = diskSizeOf(metadata.header);
    this.snapshots = new Qcow2Snapshots(metadata, {
      get: () => this.#virtualSize,
      set: (size) => {
        this.#virtualSize = wholeSectors(size);
      },
    });
    this.allocationUnit = clusterSize;
    this.zeroUnit = subclusterSize;
    this.limits = {
      ...BYTE_LIMITS,
      // Sectors are encrypted whole.
      requestAlignment: metadata.settings.encryption === undefined ? 1 : SECTOR_SIZE,
      writeZeroesAlignment: subclusterSize,
      discardAlignment: clusterSize,
    };
  }

  get virtualSize(): number {
    return this.#virtualSize;
  }

  get backing(): FileReference | undefined {
    const filename = backingFileOf(this.#metadata.header);
    const format = backingFormatOf(this.#metadata.header);
    if (filename === undefined) return undefined;
    return format === undefined ? { filename } : { filename, format };
  }

  get backingIdentity(): string | undefined {
    return backingIdentityOf(this.#metadata.header);
  }

  map(offset: number, length: number): MaybePromise<Extent> {
    return this.#mapper.map(offset, length);
  }

  allocate(offset: number, length: number): MaybePromise<Allocation> {
    return start(allocate(this.#metadata, offset, length));
  }

  readEncoded(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return this.#compressed.read(offset, buffer);
  }

  writeEncoded(offset: number, data: Uint8Array): MaybePromise<void> {
    return start(writeCompressed(this.#metadata, offset, data, () => this.#compressed.forget()));
  }

  markZero(offset: number, length: number, flags: RequestFlags): MaybePromise<number> {
    return start(markZero(this.#metadata, offset, length, flags));
  }

  discard(offset: number, length: number): MaybePromise<number> {
    return start(discard(this.#metadata, offset, length));
  }

  resize(virtualSize: number, preallocation: Preallocation, zeroUntil: number): MaybePromise<void> {
    if (preallocation !== 'off' && virtualSize < this.#virtualSize) {
      throw new BlockError('invalid', "Preallocation can't be used for shrinking an image");
    }
    this.bitmaps.checkResize(virtualSize);
    const change = { oldSize: this.#virtualSize, newSize: virtualSize, preallocation, zeroUntil };
    return chain(start(resize(this.#metadata, change)), () => {
      this.#virtualSize = virtualSize;
    });
  }

  amend(options: AmendOptions, context: AmendContext): MaybePromise<void> {
    return start(amend(this.#metadata, this.bitmaps, options, context));
  }

  changeBackingFile(reference: FileReference | undefined): MaybePromise<void> {
    return start(changeBackingFile(this.#metadata, reference));
  }

  makeEmpty(): MaybePromise<void> {
    this.#compressed.forget();
    return start(makeEmpty(this.#metadata, this.bitmaps.any));
  }

  setBackingIdentity(identity: string): MaybePromise<void> {
    return start(setBackingIdentity(this.#metadata, identity));
  }

  check(fix: CheckFix, progress?: Progress): MaybePromise<CheckResult> {
    return start(this.#metadata.lock.run(() => this.#check(fix, progress)));
  }

  *#check(fix: CheckFix, progress: Progress | undefined): Co<CheckResult> {
    const metadata = this.#metadata;
    const { keptUp, readOnly } = metadata.settings;
    if (!readOnly) yield* metadata.settleAll();
    const { result, header } = yield* checkImage(metadata.file, metadata.header, readOnly ? 'none' : fix, { progress });
    if (!readOnly && fix !== 'none') {
      this.#compressed.forget();
      const tables = yield* readWholeTables(metadata.file, header, { readOnly, forCheck: true });
      metadata.replace(header, tables, writeObstacle(header, keptUp));
    }
    return result;
  }

  /** Bytes of tables that its caches hold. */
  get memoryBytes(): number {
    return this.#metadata.memoryBytes;
  }

  info(): FormatInfo {
    const { header, settings } = this.#metadata;
    return formatInfo(header, this.#virtualSize, {
      encryption: settings.encryption?.info(),
      bitmaps: this.bitmaps.info(),
    });
  }

  flush(): MaybePromise<void> {
    if (this.#metadata.settings.readOnly) return;
    return start(this.#metadata.lock.run(() => this.#metadata.writeBack()));
  }

  close(): MaybePromise<void> {
    if (this.#metadata.settings.readOnly) return;
    return start(this.#metadata.lock.run(() => this.#close()));
  }

  *#close(): Co<void> {
    yield* this.#metadata.settleAll();
    yield* this.bitmaps.store();
  }
}

/** The node of an opened format: guest offsets above, files below. Moves nothing itself: the loops of `io/` do. */
import { isPromise, settle, start, type Co, type MaybePromise } from '../co.ts';
import type { BlockLimits, FormatDriver, FormatImage, Preallocation, RequestFlags } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockEvent } from '../events.ts';
import { NO_OFFSET, type Extent } from '../extent.ts';
import { AlignedIo, isAligned, type BlockIo } from '../io/align.ts';
import { isZero, zeroBuffer } from '../io/buffers.ts';
import { discardImage } from '../io/discard.ts';
import type { ImageLayer } from '../io/layer.ts';
import { readCopying } from '../io/copy-on-read.ts';
import { readImagePadded, readTracked } from '../io/read.ts';
import type { LayerStatus } from '../io/status.ts';
import { RequestTracker, type TrackedRequest } from '../io/tracked.ts';
import { writeExtents, writeImage } from '../io/write.ts';
import { zeroImage } from '../io/zero.ts';
import { SECTOR_SIZE } from '../limits.ts';
import { BackingReader } from './backing-reader.ts';
import { BlockNode, type GraphClock } from './node.ts';
import type { ProbeGuard } from './probe-guard.ts';

/** Generic options of an image node, with QEMU's names and values. */
export interface ImageNodeOptions {
  readonly readOnly: boolean;
  readonly discard: 'ignore' | 'unmap';
  readonly 'detect-zeroes': 'off' | 'on' | 'unmap';
  /** For an image whose format was only guessed. */
  readonly guard?: ProbeGuard | undefined;
}

export class ImageNode extends BlockNode implements ImageLayer {
  declare readonly driver: FormatDriver;
  readonly image: FormatImage;
  readonly readOnly: boolean;
  readonly isFilter = false;
  readonly #options: ImageNodeOptions;
  readonly #backing: BackingReader;
  /** Where the format takes only whole blocks: encrypted sectors are whole or garbage. */
  readonly #aligned: AlignedIo | undefined;

  constructor(
    nodeName: string,
    driver: FormatDriver,
    clock: GraphClock,
    image: FormatImage,
    options: ImageNodeOptions,
  ) {
    super(nodeName, driver, clock, image.bitmaps?.set);
    this.image = image;
    this.readOnly = options.readOnly;
    this.#options = options;
    this.#backing = new BackingReader(this);
    if (image.limits.requestAlignment > 1) {
      const blocks: BlockIo = {
        read: (offset, buffer, flags) => this.#readBlocks(offset, buffer, flags),
        write: (offset, data, flags) => writeImage(this, offset, data, flags),
      };
      // Requests in books of their own: what an unaligned write does in whole blocks waits for others in the node's.
      this.#aligned = new AlignedIo(blocks, new RequestTracker(), image.limits);
    }
  }

  get length(): number {
    return this.image.virtualSize;
  }

  get limits(): BlockLimits {
    return this.image.limits;
  }

  /** The graph below cannot change without the clock, so the answer is kept until it does. */
  get synchronous(): boolean {
    if (this.#synchronousAt !== this.clock.generation) {
      this.#synchronous = [...this.children.values()].every((child) => child.synchronous);
      this.#synchronousAt = this.clock.generation;
    }
    return this.#synchronous;
  }
  #synchronous = false;
  #synchronousAt = -1;

  override get frozenImage(): FormatImage | undefined {
    return this.readOnly ? this.image : undefined;
  }

  get below(): BlockNode | undefined {
    return this.children.get('backing')?.node;
  }

  get backingLength(): number {
    return this.below?.length ?? 0;
  }

  fileEvent(name: BlockEvent): void {
    this.children.get('file')?.event(name);
  }

  readBacking(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return this.#backing.read(offset, buffer);
  }

  protected performRead(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (buffer.length === 0) return;
    if (offset + buffer.length > this.image.virtualSize) return start(readImagePadded(this, offset, buffer));
    return this.readInside(offset, buffer, flags);
  }

  /** Reads guest bytes: also behind the end of the disk, where machine state is kept. */
  readInside(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.#aligned === undefined
      ? this.#readBlocks(offset, buffer, flags)
      : this.#aligned.read(offset, buffer, flags);
  }

  #readBlocks(offset: number, buffer: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (flags.copyOnRead === true && !this.readOnly) return start(readCopying(this, offset, buffer, flags));
    return readTracked(this, offset, buffer, flags);
  }

  protected performWrite(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (data.length === 0) return;
    return this.#guarded(offset, data.length, data, () => this.#write(offset, data, flags));
  }

  #write(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    if (offset + data.length > this.image.virtualSize) return start(this.#growAndWrite(offset, data, flags));
    if (this.#options['detect-zeroes'] !== 'off' && isZero(data)) {
      return this.#writeZeroes(offset, data.length, {
        ...flags,
        mayUnmap: this.#options['detect-zeroes'] === 'unmap' && this.#options.discard === 'unmap',
      });
    }
    this.requestEvent('pwritev');
    return this.writeInside(offset, data, flags);
  }

  /** @param data missing: zeroes */
  #guarded(
    offset: number,
    length: number,
    data: Uint8Array | undefined,
    change: () => MaybePromise<void>,
  ): MaybePromise<void> {
    const { guard } = this.#options;
    if (guard === undefined || !guard.watches(offset, length)) return change();
    return start(guard.change({ offset, length, ...(data === undefined ? {} : { data }) }, change));
  }

  protected performWriteZeroes(offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    if (length === 0) return;
    return this.#guarded(offset, length, undefined, () => this.#writeZeroes(offset, length, flags));
  }

  #writeZeroes(offset: number, length: number, flags: RequestFlags): MaybePromise<void> {
    const { requestAlignment } = this.limits;
    if (!isAligned(offset, length, requestAlignment)) return start(this.#zeroUnaligned(offset, length, flags));
    this.requestEvent('pwritev_zero');
    const mayUnmap = flags.mayUnmap === true && this.#options.discard === 'unmap';
    return this.#beside(offset, length, () => start(this.#zero(offset, length, { ...flags, mayUnmap })));
  }

  protected performDiscard(offset: number, length: number): MaybePromise<void> {
    if (this.#options.discard === 'ignore' || length === 0) return;
    const inside = Math.min(length, this.length - offset);
    return this.#guarded(offset, inside, undefined, () =>
      this.#beside(offset, inside, () => start(discardImage(this, offset, inside))),
    );
  }

  protected performFlush(): MaybePromise<void> {
    if (this.readOnly) return;
    this.fileEvent('flush_to_os');
    return this.image.flush === undefined ? start(this.#flushChildren()) : this.image.flush();
  }

  protected performTruncate(length: number, preallocation: Preallocation): MaybePromise<void> {
    const { guard } = this.#options;
    const resize = () => start(this.#resize(length, preallocation));
    return guard === undefined ? resize() : start(guard.resize(length, resize));
  }

  protected performClose(): MaybePromise<void> {
    return this.image.close();
  }

  allocatedSize(): MaybePromise<number | undefined> {
    return start(this.#allocatedSize());
  }

  layerStatus(offset: number, length: number): MaybePromise<LayerStatus> {
    return start(this.#layerStatus(offset, length));
  }

  *#layerStatus(offset: number, length: number): Co<LayerStatus> {
    const extent = yield* settle(this.image.map(offset, length));
    const isFile = this.image.statusFromFile === true;
    // A hole under encryption is data like any other: it does not read as zero.
    if (extent.kind !== 'data' || extent.child.opaque === true) return statusOf(extent);
    if (!isFile && !(yield* this.#mayHoldHoles())) return statusOf(extent);
    const child = this.childFor(extent.child);
    const below = yield* settle(child.node.layerStatus(extent.hostOffset, extent.length));
    const status = { ...statusOf(extent), length: Math.min(extent.length, below.length), zero: below.zero };
    // The image is its file, byte for byte: where the file has holes, so has the disk.
    return isFile ? { ...status, data: below.data } : status;
  }

  /**
   * Whether clusters that are allocated may lie in holes of the file, as in an image that was made with preallocated metadata. Looked
   * at once, and only where nothing changes: asking for each cluster costs a system call.
   */
  *#mayHoldHoles(): Co<boolean> {
    if (this.image.dataInHoles === true) return true;
    if (!this.readOnly) return false;
    if (this.#holes === undefined) {
      const file = this.children.get('file');
      const allocated = file === undefined ? undefined : yield* settle(file.allocatedSize());
      // The first clusters of an image (header, refcounts, L1, L2) hold little, and its last one may end in a hole.
      const slack = Math.max((allocated ?? 0) / 9, 5 * this.image.allocationUnit);
      this.#holes = allocated !== undefined && file !== undefined && allocated + slack < file.length;
    }
    return this.#holes;
  }
  #holes: boolean | undefined;

  *#allocatedSize(): Co<number | undefined> {
    let sum: number | undefined;
    for (const child of this.children.values()) {
      if (child.roles.has('cow')) continue;
      const size = yield* settle(child.allocatedSize());
      if (size !== undefined) sum = (sum ?? 0) + size;
    }
    return sum;
  }

  *#flushChildren(): Co<void> {
    this.fileEvent('flush_to_disk');
    for (const child of this.children.values()) if (!child.readOnly) yield* settle(child.flush());
  }

  *#zero(offset: number, length: number, flags: RequestFlags): Co<void> {
    if (offset + length > this.length) yield* this.#resize(offset + length);
    yield* zeroImage(this, offset, length, flags);
  }

  /** An image can be another image's file: then it grows as a file would, if its format can. */
  *#growAndWrite(offset: number, data: Uint8Array, flags: RequestFlags): Co<void> {
    yield* this.#resize(offset + data.length);
    const written = this.writeInside(offset, data, flags);
    if (isPromise(written)) yield written;
  }

  /** Writes guest bytes where the image has room for them: also behind the end of the disk, where machine state is kept. */
  writeInside(offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return this.#aligned === undefined
      ? writeImage(this, offset, data, flags)
      : this.#aligned.write(offset, data, flags);
  }

  /** Changes whole blocks, but not one that an unaligned write has read and not written back yet. */
  #beside(offset: number, length: number, change: () => MaybePromise<void>): MaybePromise<void> {
    return this.#aligned === undefined ? change() : this.#aligned.beside(offset, length, change);
  }

  /** Both ends are written as data, and what is whole between them is made zero. */
  *#zeroUnaligned(offset: number, length: number, flags: RequestFlags): Co<void> {
    const { requestAlignment } = this.limits;
    const end = offset + length;
    const first = Math.min(end, Math.ceil(offset / requestAlignment) * requestAlignment);
    const last = Math.max(first, end - (end % requestAlignment));
    if (end > this.length) yield* this.#resize(end);
    if (first > offset) yield* settle(this.writeInside(offset, zeroBuffer(first - offset), flags));
    if (last > first) yield* settle(this.#writeZeroes(first, last - first, flags));
    if (end > last) yield* settle(this.writeInside(last, zeroBuffer(end - last), flags));
  }

  *#resize(length: number, preallocation: Preallocation = 'off'): Co<void> {
    if (this.image.resize === undefined) {
      throw new BlockError('unsupported', 'Image format driver does not support resize', { driver: this.driver.name });
    }
    // A raw file may end anywhere, as QEMU leaves it; its disk is shown with whole sectors.
    const size = this.image.statusFromFile === true ? length : Math.ceil(length / SECTOR_SIZE) * SECTOR_SIZE;
    const request = this.tracker.begin('truncate', Math.min(size, this.length), Number.MAX_SAFE_INTEGER);
    try {
      yield* this.tracker.makeSerialising(request, this.image.allocationUnit);
      const shown = Math.min(size, this.backingLength);
      if (shown > this.length) yield* this.#ownLastUnit(request);
      yield* settle(this.image.resize(size, preallocation, shown));
      this.clock.generation++;
    } finally {
      this.tracker.end(request);
    }
  }

  /**
   * The disk ends inside a unit, and the backing file goes on: before the disk grows, the image must hold that unit itself, or the
   * rest of it would show what the backing file has there.
   */
  *#ownLastUnit(request: TrackedRequest): Co<void> {
    if (this.length % this.image.allocationUnit === 0) return;
    const offset = this.length - SECTOR_SIZE;
    const extent = yield* settle(this.image.map(offset, SECTOR_SIZE));
    if (extent.kind !== 'backing') return;
    const sector = new Uint8Array(SECTOR_SIZE);
    yield* settle(this.#backing.read(offset, sector));
    yield* writeExtents(this, request, offset, sector, { writeUnchanged: true });
  }
}

function statusOf(extent: Extent): LayerStatus {
  return {
    length: extent.length,
    present: extent.kind !== 'backing',
    data: extent.kind === 'data' || extent.kind === 'encoded',
    zero: extent.kind === 'zero',
    compressed: extent.kind === 'encoded' && extent.encoding === 'compressed',
    ...placeOf(extent),
  };
}

function placeOf(extent: Extent): Pick<LayerStatus, 'hostOffset' | 'hostNode'> {
  const { kind, child, hostOffset } = extent;
  if (kind === 'data') return child.opaque === true ? {} : { hostOffset, hostNode: child.nodeName };
  return kind === 'encoded' || hostOffset === NO_OFFSET ? {} : { hostOffset };
}

import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import {
  BYTE_LIMITS,
  type Allocation,
  type BlockChild,
  type BlockLimits,
  type CheckFix,
  type CheckResult,
  type FileReference,
  type FormatImage,
  type FormatInfo,
} from '../../driver.ts';
import type { Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { BlockTable, UNALLOCATED, ZERO } from '../shared/block-table.ts';
import { NumberTable } from '../shared/table-bytes.ts';
import { checkBlocks } from './check.ts';
import type { ReadHeader, VdiHeader } from './header.ts';
import { BLOCK_SIZE, BLOCK_UNALLOCATED, BLOCK_ZERO, FIELD, TYPE_DIFFERENCING, TYPE_STATIC } from './layout.ts';
import { roundUp } from '../../../binary/round-up.ts';

/** An opened VDI image. */
export class VdiImage implements FormatImage {
  readonly limits: BlockLimits = { ...BYTE_LIMITS, writeZeroesAlignment: BLOCK_SIZE };
  readonly allocationUnit = BLOCK_SIZE;
  readonly hasZeroInit = true;
  readonly #file: BlockChild;
  readonly #readOnly: boolean;
  readonly #headerBytes: Uint8Array<ArrayBuffer>;
  readonly #bmap: NumberTable;
  readonly #blocks: BlockTable;
  /** The blocks of a static image are all there, and its file need not have them. */
  readonly dataInHoles: boolean;
  #header: VdiHeader;

  private constructor(file: BlockChild, { header, bytes }: ReadHeader, bmap: NumberTable, readOnly: boolean) {
    this.#file = file;
    this.#readOnly = readOnly;
    this.#header = header;
    this.#headerBytes = bytes;
    this.#bmap = bmap;
    const { offsetData } = header;
    this.dataInHoles = header.imageType === TYPE_STATIC;
    // Without a parent nothing could show through: the block is zeroes.
    const nothingHere = header.imageType === TYPE_DIFFERENCING ? UNALLOCATED : ZERO;
    this.#blocks = new BlockTable({
      file,
      table: bmap,
      blockSize: BLOCK_SIZE,
      end: offsetData + firstFree(header, bmap) * BLOCK_SIZE,
      decode: (entry) =>
        entry === BLOCK_UNALLOCATED ? nothingHere : entry === BLOCK_ZERO ? ZERO : offsetData + entry * BLOCK_SIZE,
      encode: (hostOffset) => (hostOffset - offsetData) / BLOCK_SIZE,
      zeroEntry: BLOCK_ZERO,
      beforePublishing: (end) => this.#writeCount((end - offsetData) / BLOCK_SIZE),
    });
  }

  static *load(file: BlockChild, read: ReadHeader, readOnly: boolean): Co<VdiImage> {
    const bytes = new Uint8Array(roundUp(read.header.blocksInImage * 4, SECTOR_SIZE));
    yield* settle(file.read(read.header.offsetBmap, bytes));
    const bmap = new NumberTable(read.header.offsetBmap, bytes, { bytes: 4, littleEndian: true });
    return new VdiImage(file, read, bmap, readOnly);
  }

  get virtualSize(): number {
    return this.#header.diskSize;
  }

  /** A differencing image says which image it stands on, but not where that is. */
  get backing(): FileReference | undefined {
    return this.#isDifferencing ? { filename: `uuid:${this.#header.uuidLink}`, format: 'vdi' } : undefined;
  }

  get lineage(): { readonly own: string; readonly parent?: string } {
    const { uuidImage, uuidLink } = this.#header;
    return this.#isDifferencing ? { own: uuidImage, parent: uuidLink } : { own: uuidImage };
  }

  get #isDifferencing(): boolean {
    return this.#header.imageType === TYPE_DIFFERENCING;
  }

  map(offset: number, length: number): Extent {
    return this.#blocks.map(offset, length);
  }

  allocate(offset: number, length: number): MaybePromise<Allocation> {
    return this.#blocks.allocate(offset, length);
  }

  markZero(offset: number, length: number): MaybePromise<number> {
    return this.#blocks.markZero(offset, length, this.#isDifferencing);
  }

  /**
   * QEMU takes the next new block by this count. It goes down before an entry leads there, so that a power cut never leaves a block
   * that would be given out twice; the count may be too high then, which a repair puts right.
   */
  *#writeCount(count: number): Co<void> {
    const bytes = this.#headerBytes;
    new DataView(bytes.buffer).setUint32(FIELD.blocksAllocated, count, true);
    yield* settle(this.#file.write(0, bytes));
    this.#header = { ...this.#header, blocksAllocated: count };
  }

  check(fix: CheckFix): MaybePromise<CheckResult> {
    return start(this.#blocks.lock.run(() => this.#check(this.#readOnly ? 'none' : fix)));
  }

  *#check(fix: CheckFix): Co<CheckResult> {
    if (!this.#readOnly) yield* this.#blocks.writeBack();
    const { result, count } = checkBlocks(this.#header, this.#bmap, fix);
    if (count !== this.#header.blocksAllocated && fix !== 'none') {
      yield* this.#writeCount(count);
      yield* settle(this.#file.flush());
    }
    if (this.#bmap.dirty) yield* this.#blocks.writeBack();
    return result;
  }

  info(): FormatInfo {
    const { backing } = this;
    return {
      format: 'vdi',
      virtualSize: this.virtualSize,
      clusterSize: BLOCK_SIZE,
      ...(backing === undefined ? {} : { backingFilename: backing.filename, backingFormat: 'vdi' }),
      specific: {},
    };
  }

  flush(): MaybePromise<void> {
    if (!this.#readOnly) return this.#blocks.flush();
  }

  close(): MaybePromise<void> {
    return this.flush();
  }
}

/**
 * Behind all blocks that an entry leads to. The header's count is not asked: after a power cut it may be too high, and a block with
 * a number beyond the map's own would be out of bounds for every other program.
 */
function firstFree(header: VdiHeader, bmap: NumberTable): number {
  let free = 0;
  for (let index = 0; index < header.blocksInImage; index++) {
    const entry = bmap.get(index);
    if (entry < BLOCK_ZERO && entry >= free) free = entry + 1;
  }
  return free;
}

import { start, type Co, type MaybePromise } from '../../co.ts';
import { BYTE_LIMITS, type FileReference, type FormatImage, type FormatInfo } from '../../driver.ts';
import { backingExtent, dataExtent, type Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { SliceCache } from '../shared/slice-cache.ts';
import type { NumberTable } from '../shared/table-bytes.ts';
import { BlockError } from '../../error.ts';
import { bitmapBytes } from './dynamic-header.ts';
import { placeOf, type OpenedDynamic } from './dynamic-image.ts';
import { BLOCK_UNALLOCATED } from './layout.ts';

/** Maps of sectors in memory: one sector of map stands for 2 MiB of the disk. */
const CACHED_SECTORS = 4096;
const SECTORS_PER_MAP_SECTOR = SECTOR_SIZE * 8;

/** A differencing VHD, to be read: a map in front of each block says which of its sectors are here, the others are the parent's. */
export class DifferencingImage implements FormatImage {
  readonly limits = BYTE_LIMITS;
  readonly allocationUnit: number;
  readonly hasZeroInit = true;
  readonly virtualSize: number;
  readonly backing: FileReference | undefined;
  readonly lineage: { readonly own: string; readonly parent: string };
  readonly #opened: OpenedDynamic;
  readonly #table: NumberTable;
  readonly #maps: SliceCache;
  readonly #mapSectorsPerBlock: number;

  constructor(opened: OpenedDynamic, table: NumberTable) {
    const { header, file } = opened;
    this.#opened = opened;
    this.#table = table;
    this.virtualSize = opened.virtualSize;
    this.allocationUnit = header.blockSize;
    this.lineage = { own: opened.uuid, parent: header.parentUuid };
    this.backing = header.parentFilename === undefined ? undefined : { filename: header.parentFilename, format: 'vpc' };
    this.#mapSectorsPerBlock = bitmapBytes(header.blockSize) / SECTOR_SIZE;
    this.#maps = new SliceCache({
      file,
      sliceBytes: SECTOR_SIZE,
      capacity: CACHED_SECTORS,
      locate: (key) => this.#locate(key),
      loadEvent: 'l2_load',
      updateEvent: 'l2_update',
    });
  }

  /** @returns where a sector of a block's map is in the file; 0: the block is not there */
  #locate(key: number): number {
    const entry = this.#table.get(Math.floor(key / this.#mapSectorsPerBlock));
    return entry === BLOCK_UNALLOCATED ? 0 : entry * SECTOR_SIZE + (key % this.#mapSectorsPerBlock) * SECTOR_SIZE;
  }

  map(offset: number, length: number): MaybePromise<Extent> {
    const { blockSize } = this.#opened.header;
    const block = Math.floor(offset / blockSize);
    const inBlock = offset % blockSize;
    const within = Math.min(length, blockSize - inBlock);
    const place = placeOf(this.#table.get(block), blockSize);
    if (place < 0) return backingExtent(within);
    if (place + blockSize > this.#opened.file.length) throw lostBlock(block, place, offset);
    const sector = Math.floor(inBlock / SECTOR_SIZE);
    const key = block * this.#mapSectorsPerBlock + Math.floor(sector / SECTORS_PER_MAP_SECTOR);
    const slot = this.#maps.lookup(key);
    if (slot >= 0) return this.#mapSlot(slot, place + inBlock, sector, offset % SECTOR_SIZE, within);
    return start(this.#load(key, place + inBlock, sector, offset % SECTOR_SIZE, within));
  }

  *#load(key: number, hostOffset: number, sector: number, inSector: number, length: number): Co<Extent> {
    const slot = yield* this.#maps.load(key);
    if (slot < 0) return backingExtent(length);
    return this.#mapSlot(slot, hostOffset, sector, inSector, length);
  }

  /** Sectors in a row that are here, or that are not. */
  #mapSlot(slot: number, hostOffset: number, sector: number, inSector: number, length: number): Extent {
    const first = sector % SECTORS_PER_MAP_SECTOR;
    const wanted = Math.min(Math.ceil((inSector + length) / SECTOR_SIZE), SECTORS_PER_MAP_SECTOR - first);
    const here = this.#isHere(slot, first);
    let run = 1;
    while (run < wanted && this.#isHere(slot, first + run) === here) run++;
    const covered = Math.min(length, run * SECTOR_SIZE - inSector);
    return here ? dataExtent(this.#opened.file, hostOffset, covered, false) : backingExtent(covered);
  }

  /** The first sector of a byte is its highest bit. */
  #isHere(slot: number, sector: number): boolean {
    const byte = this.#maps.view(slot).getUint8(this.#maps.start(slot) + Math.floor(sector / 8));
    return (byte & (0x80 >> (sector % 8))) !== 0;
  }

  info(): FormatInfo {
    const { backing } = this;
    return {
      format: 'vpc',
      virtualSize: this.virtualSize,
      clusterSize: this.allocationUnit,
      ...(backing === undefined ? {} : { backingFilename: backing.filename, backingFormat: 'vpc' }),
      specific: {},
    };
  }

  close(): void {
    // Nothing was written.
  }
}

function lostBlock(block: number, place: number, offset: number): BlockError {
  return new BlockError(
    'corrupt',
    `Block ${block} should be at ${place}, and the file ends before it does: it was cut off`,
    {
      offset,
    },
  );
}

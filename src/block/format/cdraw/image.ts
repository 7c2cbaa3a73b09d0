import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import { BYTE_LIMITS, type BlockChild, type FormatImage, type FormatInfo } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { encodedExtent, type Extent } from '../../extent.ts';
import { DATA_SECTOR, RAW_SECTOR, SECTORS_AT_ONCE } from './layout.ts';
import { dataOffset, isSync } from './sector.ts';

/**
 * What a drive gives of a CD. Data of one sector does not follow that of the next, and a sector tells by itself where its data is:
 * so the whole disk is encoded. Error codes are not looked at: images are read without errors, or not made.
 */
export class CdRawImage implements FormatImage {
  readonly limits = BYTE_LIMITS;
  readonly allocationUnit = 1;
  readonly backing = undefined;
  readonly hasZeroInit = true;
  readonly virtualSize: number;
  readonly #file: BlockChild;

  /** @param file made of whole sectors */
  constructor(file: BlockChild) {
    this.#file = file;
    this.virtualSize = (file.length / RAW_SECTOR) * DATA_SECTOR;
  }

  map(_offset: number, length: number): Extent {
    return encodedExtent(length, 'compressed');
  }

  readEncoded(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return start(this.#read(offset, buffer));
  }

  *#read(offset: number, buffer: Uint8Array): Co<void> {
    const end = Math.ceil((offset + buffer.length) / DATA_SECTOR);
    const first = Math.floor(offset / DATA_SECTOR);
    const raw = new Uint8Array(Math.min(SECTORS_AT_ONCE, end - first) * RAW_SECTOR);
    for (let sector = first; sector < end; sector += SECTORS_AT_ONCE) {
      const part = raw.subarray(0, Math.min(SECTORS_AT_ONCE, end - sector) * RAW_SECTOR);
      yield* settle(this.#file.read(sector * RAW_SECTOR, part));
      for (let at = 0; at < part.length; at += RAW_SECTOR) {
        copyData(part.subarray(at, at + RAW_SECTOR), sector + at / RAW_SECTOR, offset, buffer);
      }
    }
  }

  info(): FormatInfo {
    return { format: 'cdraw', virtualSize: this.virtualSize, clusterSize: DATA_SECTOR, specific: {} };
  }

  close(): void {
    // Nothing is ever written.
  }
}

/** @throws BlockError `io` when the sector holds sound, pictures or nothing: as a drive answers */
function copyData(raw: Uint8Array, sector: number, offset: number, buffer: Uint8Array): void {
  const at = isSync(raw) ? dataOffset(raw) : undefined;
  if (at === undefined) {
    throw new BlockError('io', `Sector ${sector} of the CD is no data sector (sound, or form 2 of mode 2)`, {
      offset: sector * DATA_SECTOR,
    });
  }
  const begin = sector * DATA_SECTOR - offset;
  const skipped = Math.max(0, -begin);
  const length = Math.min(DATA_SECTOR - skipped, buffer.length - Math.max(0, begin));
  buffer.set(raw.subarray(at + skipped, at + skipped + length), Math.max(0, begin));
}

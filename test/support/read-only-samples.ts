/** Images of formats that are only read here, made by hand after their descriptions. */
import { deflateSync } from 'node:zlib';
import { FIELD as BOCHS, MAGIC as BOCHS_MAGIC, UNALLOCATED } from '../../src/block/format/bochs/layout.ts';
import { VERSION_1 } from '../../src/block/format/bochs/layout.ts';
import { FIELD as CLOOP, MAGIC as CLOOP_MAGIC } from '../../src/block/format/cloop/layout.ts';
import { compressibleBytes, patternedBytes, type Random } from './random.ts';

const SECTOR = 512;

/** @param content of the disk; it is filled up to whole blocks */
export function makeCloop(content: Uint8Array, blockSize: number): Uint8Array<ArrayBuffer> {
  const blocks = Array.from({ length: Math.ceil(content.length / blockSize) }, (_, index) => {
    const block = new Uint8Array(blockSize);
    block.set(content.subarray(index * blockSize, (index + 1) * blockSize));
    return new Uint8Array(deflateSync(block));
  });
  const start = CLOOP.offsets + (blocks.length + 1) * 8;
  const image = new Uint8Array(blocks.reduce((end, { length }) => end + length, start));
  const view = new DataView(image.buffer);
  image.set(new TextEncoder().encode(CLOOP_MAGIC));
  view.setUint32(CLOOP.blockSize, blockSize);
  view.setUint32(CLOOP.blocks, blocks.length);
  let end = start;
  blocks.forEach((block, index) => {
    view.setBigUint64(CLOOP.offsets + index * 8, BigInt(end));
    image.set(block, end);
    end += block.length;
  });
  view.setBigUint64(CLOOP.offsets + blocks.length * 8, BigInt(end));
  return image;
}

export interface BochsShape {
  readonly version: number;
  readonly extent: number;
  /** Bytes of a bitmap, as the header says it. */
  readonly bitmap: number;
}

/** @param content of the disk. Sectors that are zero are not stored, and extents lie in the file from the last to the first */
export function makeBochs(content: Uint8Array, { version, extent, bitmap }: BochsShape): Uint8Array<ArrayBuffer> {
  const header = 512;
  const entries = Math.ceil(content.length / extent);
  const isData = (from: number, length: number): boolean =>
    content.subarray(from, from + length).some((byte) => byte !== 0);
  const stored = Array.from({ length: entries }, (_, index) => index).filter((index) => isData(index * extent, extent));
  const bitmapBytes = Math.ceil(bitmap / SECTOR) * SECTOR;
  const data = header + entries * 4;
  const image = new Uint8Array(data + stored.length * (bitmapBytes + extent));
  const view = new DataView(image.buffer);
  const text = (at: number, words: string): void => image.set(new TextEncoder().encode(words), at);
  text(BOCHS.magic, BOCHS_MAGIC);
  text(BOCHS.type, 'Redolog');
  text(BOCHS.subtype, 'Growing');
  view.setUint32(BOCHS.version, version, true);
  view.setUint32(BOCHS.header, header, true);
  view.setUint32(BOCHS.catalog, entries, true);
  view.setUint32(BOCHS.bitmap, bitmap, true);
  view.setUint32(BOCHS.extent, extent, true);
  view.setBigUint64(version === VERSION_1 ? BOCHS.disk1 : BOCHS.disk2, BigInt(content.length), true);
  for (let index = 0; index < entries; index++) view.setUint32(header + index * 4, UNALLOCATED, true);
  stored.toReversed().forEach((index, place) => {
    view.setUint32(header + index * 4, place, true);
    const at = data + place * (bitmapBytes + extent);
    for (let sector = 0; sector < extent / SECTOR; sector++) {
      const from = index * extent + sector * SECTOR;
      if (!isData(from, SECTOR)) continue;
      image[at + Math.floor(sector / 8)]! |= 1 << (sector % 8);
      image.set(content.subarray(from, from + SECTOR), at + bitmapBytes + sector * SECTOR);
    }
  });
  return image;
}

/** A disk with data that can be compressed, data that cannot, and holes. */
export function sampleDisk(random: Random, sectors: number): Uint8Array<ArrayBuffer> {
  const disk = new Uint8Array(sectors * SECTOR);
  for (let part = 1; part <= 20; part++) {
    const offset = random.below(sectors) * SECTOR;
    const length = Math.min(disk.length - offset, SECTOR * random.between(1, 24));
    disk.set((random.chance(0.5) ? compressibleBytes : patternedBytes)(part, offset, length), offset);
  }
  return disk;
}

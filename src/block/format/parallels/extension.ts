/**
 * The format extension: one cluster with features that a program may know or not, such as dirty bitmaps.
 *
 * Source: QEMU, docs/interop/parallels.txt, "Format Extension", "Dirty bitmaps feature".
 */
import { digest } from '../../../codec/hashes.ts';
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { ParallelsHeader } from './header.ts';
import {
  BITMAP,
  BITMAP_ALL_ONES,
  EXTENSION,
  FEATURE,
  FEATURE_DIRTY_BITMAP,
  FEATURE_END,
  FEATURE_NECESSARY,
} from './layout.ts';

export interface StoredBitmap {
  /** A UUID, which is its name. */
  readonly name: string;
  /** Bytes that a bit stands for. */
  readonly granularity: number;
}

export interface Extension {
  readonly bitmaps: readonly StoredBitmap[];
  /** Bytes: where the last cluster ends that the extension has, itself among them. */
  readonly end: number;
  /** The magic of a feature that whoever changes the image must keep up, or undefined. */
  readonly necessary: bigint | undefined;
}

export const NO_EXTENSION: Extension = { bitmaps: [], end: 0, necessary: undefined };

/** @throws BlockError `corrupt` for an extension that is not there, or contradicts itself or its checksum */
export function* readExtension(file: BlockChild, header: ParallelsHeader): Co<Extension> {
  const { extensionOffset: offset, clusterSize, dataStart } = header;
  if (offset === 0) return NO_EXTENSION;
  if (offset < dataStart || offset + clusterSize > file.length) {
    throw broken(`ext_off ${offset / SECTOR_SIZE} leads to where no cluster of the file is`);
  }
  const bytes = new Uint8Array(clusterSize);
  yield* settle(file.read(offset, bytes));
  const view = new DataView(bytes.buffer);
  if (view.getBigUint64(0, true) !== EXTENSION.magic) throw broken('Wrong parallels Format Extension magic');
  const sum = digest('md5', bytes.subarray(EXTENSION.features));
  if (sum.some((byte, index) => byte !== bytes[EXTENSION.checksum + index])) {
    throw broken('Wrong checksum in Format Extension header. Format extension is corrupted.');
  }
  return readFeatures(view, header, file.length);
}

function readFeatures(view: DataView<ArrayBuffer>, header: ParallelsHeader, fileLength: number): Extension {
  const bitmaps: StoredBitmap[] = [];
  let end = header.extensionOffset + header.clusterSize;
  let necessary: bigint | undefined;
  let at: number = EXTENSION.features;
  for (;;) {
    if (at + FEATURE.headerLength > view.byteLength) throw broken('its features do not end within its cluster');
    const magic = view.getBigUint64(at + FEATURE.magic, true);
    if (magic === FEATURE_END) return { bitmaps, end, necessary };
    const length = view.getUint32(at + FEATURE.dataSize, true);
    const dataAt = at + FEATURE.headerLength;
    if (dataAt + length > view.byteLength) throw broken(`data_size ${length} of a feature reaches behind its cluster`);
    if ((view.getBigUint64(at + FEATURE.flags, true) & FEATURE_NECESSARY) !== 0n) necessary ??= magic;
    if (magic === FEATURE_DIRTY_BITMAP) {
      const data = new DataView(view.buffer, dataAt, length);
      const bitmap = readBitmap(data, header, fileLength);
      bitmaps.push(bitmap);
      end = Math.max(end, bitmap.end);
    }
    at = dataAt + length + ((8 - (length % 8)) % 8);
  }
}

function readBitmap(data: DataView, header: ParallelsHeader, fileLength: number): StoredBitmap & { end: number } {
  const { clusterSize, diskSize } = header;
  if (data.byteLength < BITMAP.l1Table) throw broken(`a dirty bitmap has only ${data.byteLength} bytes`);
  const sectors = data.getBigUint64(BITMAP.sectors, true);
  if (sectors !== BigInt(diskSize / SECTOR_SIZE)) {
    throw broken(`a dirty bitmap is for a disk of ${sectors} sectors; this one has ${diskSize / SECTOR_SIZE}`);
  }
  const granularity = data.getUint32(BITMAP.granularity, true);
  if (granularity === 0 || Math.log2(granularity) % 1 !== 0) {
    throw broken(`the granularity ${granularity} of a dirty bitmap is not a power of two`);
  }
  const entries = data.getUint32(BITMAP.l1Size, true);
  const needed = Math.ceil(Math.ceil(Number(sectors) / granularity) / 8 / clusterSize);
  if (entries !== needed || BITMAP.l1Table + entries * 8 > data.byteLength) {
    throw broken(`l1_size ${entries} of a dirty bitmap should be ${needed}, or does not fit into its data`);
  }
  let end = 0;
  for (let index = 0; index < entries; index++) {
    const entry = data.getBigUint64(BITMAP.l1Table + index * 8, true);
    if (entry <= BITMAP_ALL_ONES) continue;
    const offset = entry * BigInt(SECTOR_SIZE);
    if (offset < BigInt(header.dataStart) || offset + BigInt(clusterSize) > BigInt(fileLength)) {
      throw broken(`l1_table entry ${index} of a dirty bitmap leads to sector ${entry}, where no cluster can be`);
    }
    end = Math.max(end, Number(offset) + clusterSize);
  }
  return { name: uuidOf(data), granularity: granularity * SECTOR_SIZE, end };
}

function uuidOf(data: DataView): string {
  const hex = Array.from({ length: 16 }, (_, index) =>
    data
      .getUint8(BITMAP.id + index)
      .toString(16)
      .padStart(2, '0'),
  );
  return [hex.slice(0, 4), hex.slice(4, 6), hex.slice(6, 8), hex.slice(8, 10), hex.slice(10)]
    .map((group) => group.join(''))
    .join('-');
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `The format extension of the Parallels image is broken: ${what}`);
}

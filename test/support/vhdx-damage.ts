/** What the fuzzer knows of VHDX: where its metadata is, and how damage gets past the checksums. */
import { seal } from '../../src/block/format/vhdx/header.ts';
import {
  HEADER,
  HEADER_LENGTH,
  HEADER_OFFSETS,
  LOG_ENTRY,
  LOG_ENTRY_SIGNATURE,
  LOG_SECTOR,
  METADATA_TABLE_LENGTH,
  MIB,
  REGION_TABLE,
  REGION_TABLE_LENGTH,
  REGION_TABLE_OFFSETS,
} from '../../src/block/format/vhdx/layout.ts';
import type { ImageBytes } from './image-bytes.ts';

/** As an image of this project's own is laid out, with the smallest log. */
const LOG = { offset: MIB, length: MIB };
const METADATA = 2 * MIB;
const BAT = 3 * MIB;

export const vhdxPlaces = [
  ...HEADER_OFFSETS.map((offset) => ({ offset, length: 80 })),
  { offset: REGION_TABLE_OFFSETS[0], length: 80 },
  { offset: LOG.offset, length: 160 },
  { offset: LOG.offset, length: 3 * LOG_SECTOR },
  { offset: METADATA, length: 192 },
  { offset: METADATA + METADATA_TABLE_LENGTH, length: 40 },
  { offset: BAT, length: 32 },
  { offset: BAT, length: 32 },
];

/** Makes the checksums of headers, region tables and entries of the log right. Of an image that was cut off, those that are left. */
export function mendVhdx(image: ImageBytes): void {
  const mend = (offset: number, length: number, at: number): void => {
    if (offset + length > image.length) return;
    const bytes = new Uint8Array(length);
    image.read(offset, bytes);
    seal(bytes, at);
    image.write(offset + at, bytes.subarray(at, at + 4));
  };
  for (const offset of HEADER_OFFSETS) mend(offset, HEADER_LENGTH, HEADER.checksum);
  for (const offset of REGION_TABLE_OFFSETS) mend(offset, REGION_TABLE_LENGTH, REGION_TABLE.checksum);
  const logEnd = Math.min(LOG.offset + LOG.length, image.length);
  const start = new Uint8Array(LOG_ENTRY.entryLength + 4);
  const view = new DataView(start.buffer);
  for (let offset = LOG.offset; offset + LOG_SECTOR <= logEnd; offset += LOG_SECTOR) {
    image.read(offset, start);
    if (view.getUint32(0, true) !== LOG_ENTRY_SIGNATURE) continue;
    const length = view.getUint32(LOG_ENTRY.entryLength, true);
    if (length >= LOG_SECTOR && offset + length <= logEnd) mend(offset, length, LOG_ENTRY.checksum);
  }
}

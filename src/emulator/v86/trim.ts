/** TRIM: the list of ranges that DATA SET MANAGEMENT carries (ATA8-ACS-2, 7.9). */

import type { Memory } from './machine.ts';
import type { DiskRange } from './requests.ts';
import { DISK_SECTOR_BYTES } from './sizes.ts';

/** One entry: sector number in the low 48 bits, number of sectors in the high 16. */
const ENTRY_BYTES = 8;

/** Physical region descriptor: address, byte count (0 is 64 KiB), and the last one's mark in the top bit. */
const REGION_BYTES = 8;
const LAST_REGION = 0x80;

/**
 * Reads a list of `length` bytes through the guest's descriptor table.
 *
 * @returns the ranges in bytes, or `undefined` if one of them is not on a disk of `sectors`
 */
export function readTrimList(memory: Memory, table: number, length: number, sectors: number): DiskRange[] | undefined {
  const list = gather(memory, table, length);
  const view = new DataView(list.buffer);
  const ranges: DiskRange[] = [];
  for (let at = 0; at < length; at += ENTRY_BYTES) {
    const first = view.getUint32(at, true) + view.getUint16(at + 4, true) * 2 ** 32;
    const count = view.getUint16(at + 6, true);
    if (count === 0) continue;
    if (first + count > sectors) return undefined;
    ranges.push({ offset: first * DISK_SECTOR_BYTES, length: count * DISK_SECTOR_BYTES });
  }
  return ranges;
}

/** What the table has less than `length` is zeroes, which are empty entries. */
function gather(memory: Memory, table: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (let region = table; at < length; region += REGION_BYTES) {
    const address = memory.read32s(region) >>> 0;
    const size = memory.read16(region + 4) || 0x10000;
    bytes.set(memory.mem8.subarray(address, address + Math.min(size, length - at)), at);
    at += size;
    if ((memory.read8(region + 7) & LAST_REGION) !== 0) break;
  }
  return bytes;
}

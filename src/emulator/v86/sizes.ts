/** What sizes v86's drives take, and how a disk of another size is fitted in. */

import { BlockError } from '../../block/error.ts';
import { roundUp } from '../../binary/round-up.ts';

/** Where a disk goes. A CD has sectors of 2048 bytes; a floppy must have the size of one of v86's formats. */
export type DriveMedia = 'disk' | 'cdrom' | 'floppy';

export const DISK_SECTOR_BYTES = 512;
export const CD_SECTOR_BYTES = 2048;

/** v86 keeps sector numbers in 32 bits, also for LBA48 commands. */
const MAX_DISK_BYTES = (2 ** 32 - 1) * DISK_SECTOR_BYTES;

/** Sizes in KiB of the formats of v86's floppy controller (its table DISK_FORMATS in floppy.js), ascending. */
const FLOPPY_KIB = [
  160, 180, 200, 320, 360, 400, 410, 420, 640, 720, 800, 820, 830, 880, 1040, 1120, 1200, 1440, 1476, 1494, 1600, 1680,
  1722, 1743, 1760, 1840, 1920, 2880, 3120, 3200, 3520, 3840,
];

/**
 * The size that the guest sees.
 *
 * @throws BlockError `invalid` for an empty disk, for a writable hard disk of no whole number of sectors, and for a floppy
 * larger than any format; `unsupported` for a disk of 2 TiB or more
 */
export function paddedSize(size: number, readOnly: boolean, media: DriveMedia): number {
  if (!Number.isSafeInteger(size) || size <= 0) {
    throw new BlockError('invalid', `A disk of ${size} bytes cannot be plugged in: it needs at least one sector.`);
  }
  if (media === 'floppy') return floppySize(size);
  if (media === 'cdrom') return roundUp(size, CD_SECTOR_BYTES);
  if (size > MAX_DISK_BYTES) {
    throw new BlockError(
      'unsupported',
      `v86 has drives of up to ${MAX_DISK_BYTES} bytes (2 TiB); this disk has ${size}.`,
    );
  }
  if (!readOnly && size % DISK_SECTOR_BYTES !== 0) {
    throw new BlockError(
      'invalid',
      `A writable disk must have a multiple of ${DISK_SECTOR_BYTES} bytes, this one has ${size}: resize it, or open it read-only.`,
    );
  }
  return roundUp(size, DISK_SECTOR_BYTES);
}

/** Whether v86's floppy controller takes a disk of this size as it is. */
export function isFloppySize(size: number): boolean {
  return FLOPPY_KIB.includes(size / 1024);
}

function floppySize(size: number): number {
  const kib = FLOPPY_KIB.find((format) => size <= format * 1024);
  if (kib === undefined) {
    throw new BlockError('invalid', `A floppy has at most ${FLOPPY_KIB.at(-1)} KiB; this disk has ${size} bytes.`);
  }
  return kib * 1024;
}

/** Which drive of a PC an image belongs in. */
import type { Disk } from '../../client/index.ts';

export type Device = 'hda' | 'cdrom' | 'fda';

export const DEVICE_NAMES: Readonly<Record<Device, string>> = {
  hda: 'Hard disk',
  cdrom: 'CD-ROM',
  fda: 'Floppy disk',
};

const KIB = 1024;
/** Capacities of PC floppy disks. */
const FLOPPY_SIZES: ReadonlySet<number> = new Set(
  [160, 180, 320, 360, 720, 1200, 1440, 1680, 1722, 2880].map((n) => n * KIB),
);

/** ISO 9660: volume descriptors begin at sector 16 of 2048 bytes, each with this identifier after its type byte. */
const ISO_OFFSET = 16 * 2048;
const ISO_MAGIC = 'CD001';

/** Guesses from the size and the first bytes. @throws BlockError when the disk cannot be read */
export async function guessDevice(disk: Disk): Promise<Device> {
  if (FLOPPY_SIZES.has(disk.size)) return 'fda';
  if (disk.size < ISO_OFFSET + 2048) return 'hda';
  const sector = await disk.read(ISO_OFFSET, 2048);
  const magic = String.fromCharCode(...sector.subarray(1, 1 + ISO_MAGIC.length));
  if (magic !== ISO_MAGIC) return 'hda';
  // A hybrid image is both; with a partition table it boots from a hard disk too, and there it can be written.
  return 'cdrom';
}

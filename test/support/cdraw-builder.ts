import { DATA_SECTOR, RAW_SECTOR, SYNC } from '../../src/block/format/cdraw/layout.ts';

export type SectorKind = 'mode1' | 'form1' | 'form2' | 'sound';

const digits = (value: number) => Math.floor(value / 10) * 16 + (value % 10);

/** A raw CD image of the given data. Its error codes are not filled in. @param kindOf of sector number n */
export function buildCdRaw(data: Uint8Array, kindOf: (sector: number) => SectorKind): Uint8Array {
  const sectors = Math.ceil(data.length / DATA_SECTOR);
  const image = new Uint8Array(sectors * RAW_SECTOR).fill(0xa5);
  for (let sector = 0; sector < sectors; sector++) {
    const raw = image.subarray(sector * RAW_SECTOR, (sector + 1) * RAW_SECTOR);
    const kind = kindOf(sector);
    if (kind === 'sound') continue;
    // The first sector of data is two seconds into the disc.
    const address = sector + 150;
    const time = [Math.floor(address / 4500), Math.floor(address / 75) % 60, address % 75].map(digits);
    raw.set([...SYNC, ...time, kind === 'mode1' ? 1 : 2]);
    const flags = kind === 'form2' ? 0x20 : 0x08;
    if (kind !== 'mode1') raw.set([0, 0, flags, 0, 0, 0, flags, 0], 16);
    const at = kind === 'mode1' ? 16 : 24;
    raw.fill(0, at, at + DATA_SECTOR);
    raw.set(data.subarray(sector * DATA_SECTOR, (sector + 1) * DATA_SECTOR), at);
  }
  return image;
}

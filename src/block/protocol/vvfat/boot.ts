/** The first sectors: partition table, boot sector, and what FAT32 has beside it. Nothing in them boots. */
import { SECTOR_SIZE } from '../../limits.ts';
import { FATS, ENTRY_BYTES, type Geometry } from './geometry.ts';

export const ROOT_CLUSTER = 2;
const INFO_SECTOR = 1;
const BACKUP_SECTOR = 6;
const HEADS = 16;
const FLOPPY_HEADS = 2;
const TRACK = 63;
const FLOPPY_TRACK = 18;
/** Of the volume; any number does. */
const SERIAL = 0xfabe1afd;

/** With one partition that holds the volume. Source: any description of the PC's master boot record. */
export function partitionTable({ hidden, sectors, fatType }: Geometry): Uint8Array {
  const bytes = new Uint8Array(SECTOR_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(440, SERIAL, true);
  bytes[446] = 0x80;
  bytes.set(cylinderHeadSector(hidden), 447);
  bytes[450] = fatType === 12 ? 0x01 : fatType === 16 ? 0x0e : 0x0c;
  bytes.set(cylinderHeadSector(hidden + sectors - 1), 451);
  view.setUint32(454, hidden, true);
  view.setUint32(458, sectors, true);
  view.setUint16(510, 0xaa55, true);
  return bytes;
}

function cylinderHeadSector(sector: number): readonly number[] {
  const cylinder = Math.floor(sector / (HEADS * TRACK));
  // What cannot be said this way is the last place that can.
  if (cylinder > 1023) return [254, 0xff, 0xff];
  const head = Math.floor(sector / TRACK) % HEADS;
  return [head, (sector % TRACK) + 1 + ((cylinder >> 8) << 6), cylinder & 0xff];
}

/** The sectors before the tables. @param label eleven bytes. @param used clusters */
export function reservedSectors(geometry: Geometry, label: Uint8Array, used: number): Uint8Array {
  const bytes = new Uint8Array(geometry.reserved * SECTOR_SIZE);
  const boot = bootSector(geometry, label);
  bytes.set(boot);
  if (geometry.fatType !== 32) return bytes;
  const info = new Uint8Array(SECTOR_SIZE);
  const view = new DataView(info.buffer);
  view.setUint32(0, 0x41615252, true);
  view.setUint32(484, 0x61417272, true);
  view.setUint32(488, geometry.clusters - used, true);
  view.setUint32(492, ROOT_CLUSTER + used, true);
  view.setUint32(508, 0xaa550000, true);
  bytes.set(info, INFO_SECTOR * SECTOR_SIZE);
  bytes.set(boot, BACKUP_SECTOR * SECTOR_SIZE);
  bytes.set(info, (BACKUP_SECTOR + INFO_SECTOR) * SECTOR_SIZE);
  return bytes;
}

export function mediaByte({ floppy }: Geometry): number {
  return floppy ? 0xf0 : 0xf8;
}

function bootSector(geometry: Geometry, label: Uint8Array): Uint8Array {
  const { fatType, floppy, sectors, hidden, rootSectors } = geometry;
  const bytes = new Uint8Array(SECTOR_SIZE);
  const view = new DataView(bytes.buffer);
  const wide = fatType === 32;
  // A jump over the fields, onto an instruction that jumps onto itself.
  bytes.set([0xeb, wide ? 0x58 : 0x3c, 0x90]);
  bytes.set([0xeb, 0xfe], wide ? 0x5a : 0x3e);
  bytes.set(new TextEncoder().encode('MSWIN4.1'), 3);
  view.setUint16(11, SECTOR_SIZE, true);
  bytes[13] = geometry.clusterSectors;
  view.setUint16(14, geometry.reserved, true);
  bytes[16] = FATS;
  view.setUint16(17, (rootSectors * SECTOR_SIZE) / ENTRY_BYTES, true);
  if (sectors < 65_536 && !wide) view.setUint16(19, sectors, true);
  else view.setUint32(32, sectors, true);
  bytes[21] = mediaByte(geometry);
  if (!wide) view.setUint16(22, geometry.fatSectors, true);
  view.setUint16(24, floppy ? FLOPPY_TRACK : TRACK, true);
  view.setUint16(26, floppy ? FLOPPY_HEADS : HEADS, true);
  view.setUint32(28, hidden, true);
  if (wide) {
    view.setUint32(36, geometry.fatSectors, true);
    view.setUint32(44, ROOT_CLUSTER, true);
    view.setUint16(48, INFO_SECTOR, true);
    view.setUint16(50, BACKUP_SECTOR, true);
  }
  const extended = wide ? 64 : 36;
  bytes[extended] = floppy ? 0 : 0x80;
  bytes[extended + 2] = 0x29;
  view.setUint32(extended + 3, SERIAL, true);
  bytes.set(label, extended + 7);
  bytes.set(new TextEncoder().encode(`FAT${fatType}   `), extended + 18);
  view.setUint16(510, 0xaa55, true);
  return bytes;
}

/**
 * How large a volume is, and where its parts are.
 *
 * Source: Microsoft, "FAT: General Overview of On-Disk Format", version 1.03. A volume's type follows from how many clusters it has.
 */
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';

export type FatType = 12 | 16 | 32;

export interface Geometry {
  readonly fatType: FatType;
  readonly floppy: boolean;
  /** Sectors before the volume: the partition table and its track. */
  readonly hidden: number;
  /** Of the volume, all counted in sectors. */
  readonly sectors: number;
  readonly reserved: number;
  readonly fatSectors: number;
  readonly rootSectors: number;
  readonly clusterSectors: number;
  readonly clusters: number;
}

export const FATS = 2;
export const ENTRY_BYTES = 32;
const MIB_SECTORS = 2048;
const TRACK = 63;
const FLOPPY_SECTORS = 2880;
const FLOPPY_ROOT_ENTRIES = 224;
const ROOT_ENTRIES = 512;
const MAX_ROOT_ENTRIES = 65_520;
/** 504 MiB, what QEMU gives a folder: the largest disk that every BIOS knows. */
const SMALL_DISK_SECTORS = 504 * MIB_SECTORS;
/** Free space behind what the folder holds, for guests that write into an overlay. */
const SPARE_SECTORS = 512 * MIB_SECTORS;
const MAX_FAT16_SECTORS = 2047 * MIB_SECTORS;
const MAX_SECTORS = 2 ** 32 - 2 * TRACK;
const MIN_FAT16_CLUSTERS = 4085;
const MIN_FAT32_CLUSTERS = 65_525;

/** What a volume must hold. */
export interface Needed {
  /** Clusters for so many sectors in one. */
  clusters(clusterSectors: number): number;
  /** Entries of the top folder. */
  readonly rootEntries: number;
}

/** @throws BlockError `no-space` when the folder does not fit into a volume of the type that was asked for */
export function chooseGeometry(needed: Needed, fatType: FatType | undefined, floppy: boolean): Geometry {
  if (floppy) return fitting(needed, floppyGeometry(), 'a floppy disk of 1.44 MB');
  const asked = fatType ?? (fits(needed, fat16Geometry(needed)) ? 16 : 32);
  if (asked === 12) return fitting(needed, fat12Geometry(), 'a FAT12 volume of 30 MiB');
  if (asked === 16) return fitting(needed, fat16Geometry(needed), 'a FAT16 volume of 2 GiB');
  return fitting(needed, fat32Geometry(needed), 'a FAT32 volume of 2 TiB');
}

function fits(needed: Needed, geometry: Geometry): boolean {
  const rootEntries = (geometry.rootSectors * SECTOR_SIZE) / ENTRY_BYTES;
  const rootFits = geometry.fatType === 32 || needed.rootEntries <= rootEntries;
  return rootFits && needed.clusters(geometry.clusterSectors) <= geometry.clusters;
}

function fitting(needed: Needed, geometry: Geometry, what: string): Geometry {
  if (fits(needed, geometry)) return geometry;
  throw new BlockError('no-space', `The folder does not fit into ${what}: choose another 'fat-type', or fewer files`, {
    driver: 'vvfat',
  });
}

function floppyGeometry(): Geometry {
  return complete(
    { fatType: 12, floppy: true, hidden: 0, sectors: FLOPPY_SECTORS, reserved: 1, clusterSectors: 1 },
    FLOPPY_ROOT_ENTRIES,
  );
}

function fat12Geometry(): Geometry {
  const sectors = 30 * MIB_SECTORS;
  return complete(
    { fatType: 12, floppy: false, hidden: TRACK, sectors, reserved: 1, clusterSectors: 16 },
    ROOT_ENTRIES,
  );
}

function fat16Geometry(needed: Needed): Geometry {
  const rootEntries = Math.min(
    MAX_ROOT_ENTRIES,
    Math.max(ROOT_ENTRIES, Math.ceil((needed.rootEntries + 64) / 16) * 16),
  );
  const small = complete(
    { fatType: 16, floppy: false, hidden: TRACK, sectors: SMALL_DISK_SECTORS - TRACK, reserved: 1, clusterSectors: 16 },
    rootEntries,
  );
  if (fits(needed, small)) return small;
  return complete(
    { fatType: 16, floppy: false, hidden: TRACK, sectors: MAX_FAT16_SECTORS, reserved: 1, clusterSectors: 64 },
    rootEntries,
  );
}

/** Clusters grow with the volume, as Windows does it. */
function fat32Geometry(needed: Needed): Geometry {
  for (const [clusterSectors, gibibytes] of [
    [8, 8],
    [16, 16],
    [32, 32],
    [64, 2048],
  ] as const) {
    const sectors = needed.clusters(clusterSectors) * clusterSectors + SPARE_SECTORS;
    if (sectors > gibibytes * 1024 * MIB_SECTORS && clusterSectors < 64) continue;
    const bounded = Math.min(MAX_SECTORS, Math.max(sectors, 1024 * MIB_SECTORS));
    return complete({ fatType: 32, floppy: false, hidden: TRACK, sectors: bounded, reserved: 32, clusterSectors }, 0);
  }
  throw new BlockError('internal', 'No size of clusters was chosen');
}

type Chosen = Omit<Geometry, 'fatSectors' | 'rootSectors' | 'clusters'>;

/** The table is as long as the clusters need that are left beside it. */
function complete(chosen: Chosen, rootEntries: number): Geometry {
  const rootSectors = (rootEntries * ENTRY_BYTES) / SECTOR_SIZE;
  const room = chosen.sectors - chosen.reserved - rootSectors;
  const most = Math.floor(room / chosen.clusterSectors);
  const fatSectors = Math.ceil(((most + 2) * chosen.fatType) / 8 / SECTOR_SIZE);
  const clusters = Math.floor((room - FATS * fatSectors) / chosen.clusterSectors);
  const right =
    chosen.fatType === 12
      ? clusters < MIN_FAT16_CLUSTERS
      : chosen.fatType === 16
        ? clusters >= MIN_FAT16_CLUSTERS && clusters < MIN_FAT32_CLUSTERS
        : clusters >= MIN_FAT32_CLUSTERS;
  if (!right) throw new BlockError('internal', `${clusters} clusters are none of FAT${chosen.fatType}`);
  return { ...chosen, rootSectors, fatSectors, clusters };
}

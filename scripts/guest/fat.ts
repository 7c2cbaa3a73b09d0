import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { reproducible } from './reproducible.ts';
import { run } from './run.ts';
import { sectorLength } from './mbr.ts';
import { flags } from './words.ts';

export interface FatVolume {
  readonly bits: 12 | 16;
  readonly label: string;
  /** Eight hexadecimal digits. */
  readonly volumeId: string;
  /** Where the partition begins on its disk: boot code finds its files by it. */
  readonly startSector: number;
  readonly sectors: number;
  readonly clusterSectors: number;
  readonly folders: readonly string[];
  /** Path in the volume -> file on this machine. */
  readonly files: Readonly<Record<string, string>>;
}

/** Makes a FAT partition as a file of its own, without mounting anything. */
export function makeFatVolume(image: string, volume: FatVolume): void {
  rmSync(image, { force: true });
  writeFileSync(image, '');
  truncateSync(image, volume.sectors * sectorLength);
  const naming = flags({ F: volume.bits, n: volume.label, i: volume.volumeId });
  const place = flags({ h: volume.startSector, s: volume.clusterSectors });
  run('mkfs.vfat', ['--invariant', ...naming, ...place, image]);
  // The volume alone is no disk that mtools would take for sane: it compares sizes with a whole drive's.
  const env = { ...reproducible, MTOOLS_SKIP_CHECK: '1' };
  for (const folder of volume.folders) run('mmd', ['-i', image, `::/${folder}`], { env });
  for (const [path, file] of Object.entries(volume.files)) run('mcopy', ['-i', image, file, `::/${path}`], { env });
}

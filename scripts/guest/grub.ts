// The GRUB guests: a shell that reads and writes its disk through the BIOS, ready in about a second.
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFatVolume } from './fat.ts';
import { encodeMasterBootRecord, sectorLength } from './mbr.ts';
import type { GuestPackages } from './packages.ts';
import { guestFilesFolder } from './paths.ts';
import { buildTimeSeconds, reproducible } from './reproducible.ts';
import { GuestBuildError, run } from './run.ts';
import { flags, words } from './words.ts';

const partition = { active: true, type: 0x01, startSector: 2048, sectors: 6144 } as const;
const diskSignature = 0x86868686;

/** What every one of our GRUBs can do: both terminals, files, hashes. */
const commonModules = words(
  'biosdisk serial terminal terminfo normal minicmd test echo sleep date',
  'ls cat cmp hexdump hashsum gcry_sha256 gcry_md5 halt reboot',
);

/** The length of GRUB's environment block: `save_env` rewrites it in place and can never make it longer. */
const environmentLength = 1024;

/**
 * Makes `grub.img`: 4 MiB, MBR, GRUB in the gap behind it and a FAT12 partition with its environment block.
 * @param work a folder for intermediate files.
 */
export function buildGrubDisk(packages: GuestPackages, work: string, output: string): void {
  mkdirSync(work, { recursive: true });
  const core = join(work, 'core.img');
  const prefix = '(hd0,msdos1)/grub';
  makeCore(packages, {
    format: 'i386-pc',
    prefix,
    script: 'grub.cfg',
    modules: ['part_msdos', 'fat', 'loadenv'],
    core,
  });

  const volume = join(work, 'partition.fat');
  makeFatVolume(volume, {
    bits: 12,
    label: 'GRUBTINY',
    volumeId: '87654321',
    startSector: partition.startSector,
    sectors: partition.sectors,
    clusterSectors: 4,
    folders: ['grub'],
    files: {
      'grub/env': written(work, 'env', emptyEnvironment()),
      'readme.txt': join(guestFilesFolder, 'grub-readme.txt'),
      'random.bin': written(work, 'random.bin', pseudoRandomBytes(1024 * 1024)),
    },
  });
  writeFileSync(output, grubDisk(readFileSync(bootImage(packages)), readFileSync(core), readFileSync(volume)));
}

/** Makes `grubcd.iso`: the same shell from a CD (El Torito, no emulation). */
export function buildGrubCd(packages: GuestPackages, work: string, output: string): void {
  const tree = join(work, 'iso');
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(join(tree, 'grub'), { recursive: true });
  const core = join(tree, 'grub', 'core.img');
  makeCore(packages, {
    format: 'i386-pc-eltorito',
    prefix: '(cd)/grub',
    script: 'grubcd.cfg',
    modules: ['iso9660'],
    core,
  });
  copyFileSync(join(guestFilesFolder, 'grubcd-readme.txt'), join(tree, 'readme.txt'));
  written(tree, 'random.bin', pseudoRandomBytes(1024 * 1024));
  rmSync(output, { force: true });
  const boot = ['-b', 'grub/core.img', '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table'];
  const dates = ['--set_all_file_dates', `=${buildTimeSeconds}`];
  run('xorriso', ['-as', 'mkisofs', '-quiet', '-r', '-V', 'GRUBCD', ...dates, ...boot, '-o', output, tree], {
    env: reproducible,
  });
}

interface CoreOptions {
  readonly format: 'i386-pc' | 'i386-pc-eltorito';
  readonly prefix: string;
  /** In the `files` folder: the commands that run before the shell. */
  readonly script: string;
  readonly modules: readonly string[];
  readonly core: string;
}

function makeCore(packages: GuestPackages, options: CoreOptions): void {
  const libraries = globSync('{lib,usr/lib}/*-linux-*', { cwd: packages['grub-tools-library'].folder });
  run(
    join(packages['grub-tools'].folder, 'usr/bin/grub-mkimage'),
    [
      ...flags({ O: options.format, d: modulesFolder(packages), p: options.prefix }),
      ...flags({ c: join(guestFilesFolder, options.script), o: options.core }),
      ...commonModules,
      ...options.modules,
    ],
    { env: { LD_LIBRARY_PATH: libraries.map((path) => join(packages['grub-tools-library'].folder, path)).join(':') } },
  );
}

function modulesFolder(packages: GuestPackages): string {
  return join(packages['grub-modules'].folder, 'usr/lib/grub/i386-pc');
}

function bootImage(packages: GuestPackages): string {
  return join(modulesFolder(packages), 'boot.img');
}

/** `boot.img` loads the core from sector 1, and the core's own first sector expects the rest right behind it. */
function grubDisk(boot: Uint8Array, core: Uint8Array, volume: Uint8Array): Uint8Array {
  const coreSectors = Math.ceil(core.length / sectorLength);
  if (1 + coreSectors > partition.startSector) {
    throw new GuestBuildError(`GRUB's core takes ${coreSectors} sectors; there are ${partition.startSector - 1}.`);
  }
  const disk = new Uint8Array((partition.startSector + partition.sectors) * sectorLength);
  disk.set(encodeMasterBootRecord({ bootCode: boot, diskSignature, partitions: [partition] }));
  disk.set(core, sectorLength);
  disk.set(volume, partition.startSector * sectorLength);
  return disk;
}

function emptyEnvironment(): Uint8Array {
  return Buffer.from('# GRUB Environment Block\n'.padEnd(environmentLength, '#'));
}

/** Bytes that no compression helps with and every build repeats: something to hash. Both guests have a mebibyte in `random.bin`. */
export function pseudoRandomBytes(length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let offset = 0; offset < length; offset += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(state, offset);
  }
  return bytes;
}

function written(folder: string, name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

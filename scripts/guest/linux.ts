// The Linux guest: Debian's kernel for i386, an initramfs of ours, busybox on an ext4 root.
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { makeFatVolume } from './fat.ts';
import { makeInitramfs } from './initramfs.ts';
import { findModules, inLoadOrder } from './kernel-modules.ts';
import { encodeMasterBootRecord, sectorLength } from './mbr.ts';
import type { GuestPackages } from './packages.ts';
import { guestFilesFolder } from './paths.ts';
import { reproducible } from './reproducible.ts';
import { makeExt4, writeRootTree } from './root-tree.ts';
import { GuestBuildError, run } from './run.ts';

const mebibyte = 1024 * 1024;
const bootPartition = { active: true, type: 0x0e, startSector: 2048, sectors: (16 * mebibyte) / sectorLength } as const;
const rootPartition = {
  active: false,
  type: 0x83,
  startSector: bootPartition.startSector + bootPartition.sectors,
  sectors: (24 * mebibyte) / sectorLength,
} as const;
const diskSignature = 0x6775e572;
/** Some room behind the last partition: to partition, or for a backup GPT. */
const diskLength = (rootPartition.startSector + rootPartition.sectors) * sectorLength + mebibyte;

/** syslinux' boot code for a disk's first sector. */
const bootCode = '/usr/lib/syslinux/mbr/mbr.bin';

/**
 * To reach the root. crc32c_generic is in no module's dependencies: ext4 asks the kernel's crypto layer for "crc32c" at
 * the time of mounting.
 */
const modulesForRoot = ['sd_mod', 'ata_piix', 'crc32c_generic', 'ext4', 'sr_mod', 'isofs'];

/** For losetup, and for a look at the boot partition. */
const modulesOnRoot = ['loop', 'vfat', 'nls_cp437', 'nls_ascii'];

/**
 * Makes `guest.img`: 42 MiB, MBR, a FAT16 partition with syslinux, kernel and initramfs, and an ext4 root.
 * @param work a folder for intermediate files.
 */
export function buildLinuxDisk(packages: GuestPackages, work: string, output: string): void {
  mkdirSync(work, { recursive: true });
  const kernel = findKernel(packages.kernel.folder);
  const modules = findModules(join(packages.kernel.folder, 'lib/modules', kernel.release, 'kernel'));
  const busybox = readFileSync(join(packages.busybox.folder, 'bin/busybox'));

  const initramfs = join(work, 'initrd.img');
  writeFileSync(initramfs, makeInitramfs(busybox, inLoadOrder(modules, modulesForRoot)));
  const boot = join(work, 'boot.fat');
  makeBootVolume(boot, { vmlinuz: kernel.image, 'initrd.img': initramfs });

  const tree = join(work, 'root');
  writeRootTree(tree, { busybox, kernelRelease: kernel.release, modules: inLoadOrder(modules, modulesOnRoot) });
  const root = join(work, 'root.ext4');
  makeExt4(tree, root, rootPartition.sectors * sectorLength);
  writeDisk(output, boot, root);
}

function findKernel(folder: string): { release: string; image: string } {
  const prefix = 'vmlinuz-';
  const name = readdirSync(join(folder, 'boot')).find((entry) => entry.startsWith(prefix));
  if (name === undefined) throw new GuestBuildError(`The kernel package has no ${prefix}* in its /boot.`);
  return { release: name.slice(prefix.length), image: join(folder, 'boot', name) };
}

function makeBootVolume(image: string, files: Readonly<Record<string, string>>): void {
  makeFatVolume(image, {
    bits: 16,
    label: 'GUESTBOOT',
    volumeId: '12345678',
    startSector: bootPartition.startSector,
    sectors: bootPartition.sectors,
    clusterSectors: 4,
    folders: [],
    files: { ...files, 'syslinux.cfg': join(guestFilesFolder, 'syslinux.cfg') },
  });
  run('syslinux', ['--install', image], { env: reproducible });
}

function writeDisk(output: string, boot: string, root: string): void {
  const sector = encodeMasterBootRecord({
    bootCode: readFileSync(bootCode),
    diskSignature,
    partitions: [bootPartition, rootPartition],
  });
  const disk = openSync(output, 'w');
  try {
    ftruncateSync(disk, diskLength);
    writeAll(disk, sector, 0);
    writeAll(disk, readFileSync(boot), bootPartition.startSector * sectorLength);
    writeAll(disk, readFileSync(root), rootPartition.startSector * sectorLength);
  } finally {
    closeSync(disk);
  }
}

function writeAll(file: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done, bytes.length - done, position + done);
}

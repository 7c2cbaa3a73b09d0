/** What QEMU's and e2fsprogs' tools say of images that came out of a browser. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { qemuCheck, qemuImg } from '../../test/support/qemu.ts';

const SECTOR_BYTES = 512;
/** Where a master boot record has its partitions, and how long an entry is. UEFI specification 2.10, 5.2.1. */
const PARTITION_TABLE = 446;
const PARTITION_ENTRY_BYTES = 16;

/** e2fsck and debugfs live where a user's PATH does not look. */
const searchPath = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

/** @throws Error with qemu-img's words when an image has a corruption, or, where they are not allowed, leaked clusters */
export async function expectSound(path: string, leaks: 'allowed' | 'refused'): Promise<void> {
  const { counts, code, stdout, stderr } = await qemuCheck(path, 'qcow2');
  const corruptions = (counts?.corruptions ?? 0) + (counts?.['check-errors'] ?? 1);
  if (corruptions === 0 && (leaks === 'allowed' || (counts?.leaks ?? 0) === 0)) return;
  throw new Error(`qemu-img check ${path}: exit code ${code}\n${stdout}${stderr}`);
}

/** Writes the disk of a qcow2 image, its backing file included, as a raw file beside it. @returns the file's path */
export async function rawOf(path: string): Promise<string> {
  const raw = `${path}.raw`;
  await qemuImg('convert', '-f', 'qcow2', '-O', 'raw', path, raw);
  return raw;
}

/** A partition of a raw disk. @param number 1 to 4 */
export function partition(disk: Buffer, number: number): Buffer {
  const entry = PARTITION_TABLE + (number - 1) * PARTITION_ENTRY_BYTES;
  const start = disk.readUInt32LE(entry + 8) * SECTOR_BYTES;
  const length = disk.readUInt32LE(entry + 12) * SECTOR_BYTES;
  return disk.subarray(start, start + length);
}

/** Writes a partition of a raw disk as a file of its own beside it. @returns the file's path */
export function partitionFile(rawDisk: string, number: number): string {
  const path = join(dirname(rawDisk), `partition-${number}.img`);
  writeFileSync(path, partition(readFileSync(rawDisk), number));
  return path;
}

/** @throws Error with e2fsck's words when it finds anything to repair in an ext4 file system */
export function expectCleanExt4(path: string): void {
  const { status, stdout, stderr, error } = spawnSync('e2fsck', ['-f', '-n', path], {
    encoding: 'utf8',
    env: { ...process.env, PATH: searchPath, LC_ALL: 'C' },
  });
  if (status !== 0) throw new Error(`e2fsck -fn: exit code ${status}\n${stdout}${stderr}`, { cause: error });
}

/** The content of a file in an ext4 file system. */
export function fileInExt4(path: string, name: string): Buffer {
  return execFileSync('debugfs', ['-R', `cat ${name}`, path], {
    env: { ...process.env, PATH: searchPath },
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 * 2 ** 20,
  });
}

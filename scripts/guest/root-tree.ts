// The Linux guest's root file system.
import {
  chmodSync,
  copyFileSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { busyboxLinks } from './busybox.ts';
import type { KernelModule } from './kernel-modules.ts';
import { guestFilesFolder } from './paths.ts';
import { buildTimeSeconds, reproducible } from './reproducible.ts';
import { run } from './run.ts';
import { flags, words } from './words.ts';

const folders = words('bin sbin etc/init.d dev proc sys run tmp root mnt data lib/modules');

const programs = new Set(['bin/busybox', 'etc/init.d/rcS']);

export interface RootTreeOptions {
  readonly busybox: Buffer;
  /** The release that `uname -r` gives: modprobe looks for its modules under this name. */
  readonly kernelRelease: string;
  /** Modules to be loaded when they are asked for, in load order. */
  readonly modules: readonly KernelModule[];
}

/** Writes the guest's files into a folder, which is emptied first. */
export function writeRootTree(root: string, options: RootTreeOptions): void {
  rmSync(root, { recursive: true, force: true });
  for (const folder of folders) mkdirSync(join(root, folder), { recursive: true });
  const put = (path: string, data: string | Uint8Array): void => writeFileSync(join(root, path), data);
  put('bin/busybox', options.busybox);
  const { bin, sbin } = busyboxLinks(options.busybox);
  for (const name of bin) symlinkSync('busybox', join(root, 'bin', name));
  for (const name of sbin) symlinkSync('../bin/busybox', join(root, 'sbin', name));
  for (const name of ['inittab', 'profile', 'motd']) {
    copyFileSync(join(guestFilesFolder, name), join(root, 'etc', name));
  }
  copyFileSync(join(guestFilesFolder, 'rcS'), join(root, 'etc/init.d/rcS'));
  put('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n');
  put('etc/group', 'root:x:0:\n');
  put('etc/hostname', 'guest\n');
  symlinkSync('../proc/mounts', join(root, 'etc/mtab'));
  writeModules(join(root, 'lib/modules', options.kernelRelease), options.modules);
  settle(root);
}

/** As depmod writes it: each module with all that it needs, the most basic last. */
function writeModules(folder: string, modules: readonly KernelModule[]): void {
  mkdirSync(folder);
  const byName = new Map(modules.map((module) => [module.name, module]));
  const needs = (module: KernelModule): string[] =>
    module.dependencies.flatMap((name) => [name, ...needs(byName.get(name)!)]);
  const lines = modules.map(
    (module) =>
      `${module.name}.ko:${needs(module)
        .map((name) => ` ${name}.ko`)
        .join('')}\n`,
  );
  writeFileSync(join(folder, 'modules.dep'), lines.join(''));
  writeFileSync(join(folder, 'modules.alias'), 'alias fs-vfat vfat\n');
  for (const { name, bytes } of modules) writeFileSync(join(folder, `${name}.ko`), bytes);
}

/** Neither the builder's umask nor the day of the build is to be seen in the guest. */
function settle(root: string): void {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    const isProgram = programs.has(relative(root, path));
    if (!entry.isSymbolicLink()) chmodSync(path, entry.isDirectory() || isProgram ? 0o755 : 0o644);
    lutimesSync(path, buildTimeSeconds, buildTimeSeconds);
  }
  chmodSync(root, 0o755);
  lutimesSync(root, buildTimeSeconds, buildTimeSeconds);
}

/** Makes an ext4 file system of a folder, without mounting anything. */
export function makeExt4(root: string, image: string, bytes: number): void {
  const id = '11111111-2222-3333-4444-555555555555';
  const blockLength = 1024;
  const names = flags({ L: 'guestroot', U: id });
  const layout = flags({ t: 'ext4', b: blockLength, m: 0, O: '^resize_inode', J: 'size=1' });
  const details = flags({ E: `hash_seed=${id},lazy_itable_init=0,root_owner=0:0` });
  rmSync(image, { force: true });
  run('mke2fs', ['-q', '-F', ...names, ...layout, ...details, '-d', root, image, `${bytes / blockLength}k`], {
    env: reproducible,
  });
  settleInodes(root, image, `${image}.commands`);
}

/**
 * mke2fs copies who owns a file and when its inode last changed from the folder: here all belongs to root, and all
 * times are the build's.
 */
function settleInodes(root: string, image: string, script: string): void {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const fields = { uid: 0, gid: 0, ctime: `@${buildTimeSeconds}`, atime: `@${buildTimeSeconds}` };
  const commands = ['', ...paths].flatMap((path) =>
    Object.entries(fields).map(([field, value]) => `set_inode_field "/${path}" ${field} ${value}\n`),
  );
  writeFileSync(script, commands.join(''));
  run('debugfs', ['-w', '-f', script, image], { env: reproducible });
}

// What the kernel runs first: it loads the disk's drivers and goes over to the root on the disk.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { characterDeviceMode, cpioArchive, directoryMode, executableMode, fileMode, linkMode } from './cpio.ts';
import type { KernelModule } from './kernel-modules.ts';
import { guestFilesFolder } from './paths.ts';

/** Not compressed: the emulated processor would take longer to inflate it than the emulated disk takes to read it. */
export function makeInitramfs(busybox: Buffer, modules: readonly KernelModule[]): Uint8Array {
  const folders = ['bin', 'dev', 'proc', 'sys', 'mod', 'new'];
  return cpioArchive([
    ...folders.map((name) => ({ name, mode: directoryMode })),
    { name: 'dev/console', mode: characterDeviceMode, device: [5, 1] as const },
    { name: 'bin/busybox', mode: executableMode, data: busybox },
    { name: 'bin/sh', mode: linkMode, data: 'busybox' },
    ...modules.map(({ name, bytes }) => ({ name: `mod/${name}.ko`, mode: fileMode, data: bytes })),
    { name: 'mod/order', mode: fileMode, data: modules.map(({ name }) => `${name}\n`).join('') },
    { name: 'init', mode: executableMode, data: readFileSync(join(guestFilesFolder, 'init')) },
  ]);
}

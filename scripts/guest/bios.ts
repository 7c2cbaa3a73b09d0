import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** SeaBIOS in the 128 KiB build that v86 maps below 1 MiB, and the VGA BIOS for a standard (Bochs) VGA. */
const files = { 'seabios.bin': 'bios.bin', 'vgabios.bin': 'vgabios-stdvga.bin' } as const;

export function copyBiosFiles(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, source] of Object.entries(files))
    copyFileSync(join('/usr/share/seabios', source), join(folder, name));
}

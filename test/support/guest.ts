// The guests, for whatever test boots one.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildGuests } from '../../scripts/guest/build.ts';
import type { DemoImage, DemoManifest } from '../../scripts/guest/manifest.ts';
import { projectFolders } from '../../scripts/guest/paths.ts';
import { GuestBuildError } from '../../scripts/guest/run.ts';

export { SerialConsole } from './serial-console.ts';
export type { DemoImage, DemoManifest };

/** Where the guests are, once they are built. */
export const guestFolder = projectFolders.output;

export const guestFiles = {
  grub: join(guestFolder, 'grub.img'),
  'grub-cd': join(guestFolder, 'grubcd.iso'),
  linux: join(guestFolder, 'guest.img'),
  seabios: join(guestFolder, 'bios', 'seabios.bin'),
  vgabios: join(guestFolder, 'bios', 'vgabios.bin'),
} as const;

export type Guests =
  | { readonly manifest: DemoManifest; readonly unavailable?: undefined }
  | { readonly manifest?: undefined; readonly unavailable: string };

/**
 * Builds the guests if they are not up to date (some ten seconds the first time, a tenth of one afterwards).
 * @returns the manifest, or why this machine cannot build them: what a test prints when it skips itself.
 */
export async function ensureGuests(): Promise<Guests> {
  try {
    return { manifest: await buildGuests({ log: (line) => console.log(`guest: ${line}`) }) };
  } catch (error) {
    if (error instanceof GuestBuildError) return { unavailable: error.message };
    throw error;
  }
}

/** The manifest's entry for a guest, with the image's path on this machine. */
export function guestImage(manifest: DemoManifest, id: DemoImage['id']): DemoImage & { readonly path: string } {
  const image = manifest.images.find((candidate) => candidate.id === id);
  if (!image)
    throw new Error(`There is no guest ${id}; there are ${manifest.images.map((each) => each.id).join(', ')}`);
  const path = join(guestFolder, image.file);
  if (!existsSync(path)) throw new Error(`${path} is not there; call ensureGuests() first`);
  return { ...image, path };
}

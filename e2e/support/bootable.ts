/** The GRUB guest in other formats: made by our own `convert`, and where our driver only reads, by hand. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VERSION_2 } from '../../src/block/format/bochs/layout.ts';
import { buildCdRaw } from '../../test/support/cdraw-builder.ts';
import { buildDmg } from '../../test/support/dmg-builder.ts';
import { makeBochs, makeCloop } from '../../test/support/read-only-samples.ts';

const CLI = join(import.meta.dirname, '..', '..', 'dist', 'cli', 'spindle-img.js');
const TIMEOUT_MS = 60_000;
const DMG_CHUNK = 512 * 1024;

export const PASSPHRASE = 'open sesame';

/** @throws Error with what the program printed, when it fails */
export function spindleImg(...args: readonly string[]): string {
  return execFileSync(process.execPath, [CLI, ...args], { encoding: 'utf8', timeout: TIMEOUT_MS });
}

export interface Bootable {
  /** What the page calls the format. */
  readonly format: string;
  /** The subformat, where there are several. */
  readonly kind?: string;
  readonly guest: 'grub' | 'grub-cd';
  readonly passphrase?: string;
  /** @returns what is to be given to the page */
  make(raw: string, folder: string): readonly string[];
}

function converted(format: string, options = '', others: readonly string[] = []): Bootable['make'] {
  return (raw, folder) => {
    const path = join(folder, `grub.${format}`);
    const given = options === '' ? [] : ['-o', options];
    spindleImg('convert', '-f', 'raw', '-O', format, ...given, ...others, raw, path);
    return [path];
  };
}

/** An image of several files, all of which are given to the page. */
function inParts(format: string, options: string): Bootable['make'] {
  return (raw, folder) => {
    const own = mkdtempSync(join(folder, 'parts-'));
    const given = options.replace('FOLDER', own);
    spindleImg('convert', '-f', 'raw', '-O', format, '-o', given, raw, join(own, `disk.${format}`));
    return readdirSync(own).map((name) => join(own, name));
  };
}

function written(name: string, encode: (raw: Uint8Array) => Uint8Array): Bootable['make'] {
  return (raw, folder) => {
    const path = join(folder, name);
    writeFileSync(path, encode(readFileSync(raw)));
    return [path];
  };
}

function asDmg(raw: Uint8Array): Uint8Array {
  const chunks = Array.from({ length: Math.ceil(raw.length / DMG_CHUNK) }, (_, index) => ({
    kind: 'zlib' as const,
    data: raw.subarray(index * DMG_CHUNK, (index + 1) * DMG_CHUNK),
  }));
  return buildDmg([chunks], 'plist').bytes;
}

const luksSecret = ['--object', `secret,id=s,data=${PASSPHRASE}`];

/** One for each format, and for each way that a format has of storing a disk. */
export const bootables: readonly Bootable[] = [
  { format: 'raw', guest: 'grub', make: (raw) => [raw] },
  { format: 'qcow2', guest: 'grub', make: converted('qcow2') },
  {
    format: 'qcow2',
    kind: 'compressed with zstd',
    guest: 'grub',
    make: converted('qcow2', 'compression_type=zstd', ['-c']),
  },
  { format: 'qcow2', kind: 'with a data file', guest: 'grub', make: inParts('qcow2', 'data_file=FOLDER/disk.data') },
  { format: 'qcow', guest: 'grub', make: converted('qcow') },
  { format: 'qed', guest: 'grub', make: converted('qed') },
  { format: 'vdi', guest: 'grub', make: converted('vdi') },
  { format: 'vmdk', guest: 'grub', make: converted('vmdk') },
  { format: 'vmdk', kind: 'streamOptimized', guest: 'grub', make: converted('vmdk', 'subformat=streamOptimized') },
  { format: 'vmdk', kind: 'split', guest: 'grub', make: inParts('vmdk', 'subformat=twoGbMaxExtentSparse') },
  { format: 'vmdk', kind: 'flat', guest: 'grub', make: inParts('vmdk', 'subformat=monolithicFlat') },
  { format: 'vpc', guest: 'grub', make: converted('vpc', 'force_size=on') },
  { format: 'vpc', kind: 'fixed', guest: 'grub', make: converted('vpc', 'subformat=fixed,force_size=on') },
  { format: 'vhdx', guest: 'grub', make: converted('vhdx') },
  { format: 'parallels', guest: 'grub', make: converted('parallels') },
  {
    format: 'luks',
    guest: 'grub',
    passphrase: PASSPHRASE,
    make: converted('luks', 'key-secret=s,iter-time=10', luksSecret),
  },
  { format: 'dmg', guest: 'grub', make: written('grub.dmg', asDmg) },
  {
    format: 'bochs',
    guest: 'grub',
    make: written('grub.bochs', (raw) => makeBochs(raw, { version: VERSION_2, extent: 32_768, bitmap: 8 })),
  },
  { format: 'cloop', guest: 'grub', make: written('grub.cloop', (raw) => makeCloop(raw, 65_536)) },
  { format: 'cdraw', guest: 'grub-cd', make: written('grub.bin', (iso) => buildCdRaw(iso, () => 'mode1')) },
];

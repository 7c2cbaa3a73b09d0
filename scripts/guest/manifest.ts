// `demo.json`: what the demo page can boot, and what is inside.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestPackages } from './packages.ts';
import type { InstalledPackage } from './tools.ts';

export interface DemoImage {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  /** Relative to the manifest. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
  readonly format: 'raw';
  readonly device: 'hda' | 'cdrom';
  /** The machine's memory that it needs, in bytes. */
  readonly memory: number;
  /** What the guest writes to its serial port when it is up. */
  readonly ready: string;
  /** What its shell writes to the serial port when it waits for a command. */
  readonly prompt: string;
}

export interface DemoPackage {
  readonly name: string;
  readonly version: string;
  /** Debian's source package and its version. */
  readonly source: string;
  readonly 'source-version': string;
  /** SPDX. */
  readonly licence: string;
  /** The package's own copyright file, relative to the manifest. */
  readonly copyright: string;
  /** The files, relative to the manifest, that hold parts of it. */
  readonly in: readonly string[];
}

export interface DemoManifest {
  readonly bios: { readonly seabios: string; readonly vgabios: string };
  readonly images: readonly DemoImage[];
  readonly packages: readonly DemoPackage[];
}

type Described = Omit<DemoImage, 'size' | 'sha256'>;

const mebibyte = 1024 * 1024;

const images: readonly Described[] = [
  {
    id: 'grub',
    title: 'GRUB shell',
    description:
      'Up in a second, on a disk of 4 MiB that it can write: set message=hello, save_env -f /grub/env message, ' +
      'reload the page, boot again, load_env -f /grub/env, echo $message. More in: cat /readme.txt',
    file: 'grub.img',
    format: 'raw',
    device: 'hda',
    memory: 64 * mebibyte,
    ready: 'GRUB-READY',
    prompt: 'grub> ',
  },
  {
    id: 'linux',
    title: 'Linux with busybox',
    description:
      'A Debian kernel and an ext4 root of 24 MiB, up in some ten to twenty seconds: write a file, sync, reload the ' +
      'page, boot again, and it is still there.',
    file: 'guest.img',
    format: 'raw',
    device: 'hda',
    memory: 64 * mebibyte,
    ready: 'GUEST-READY',
    prompt: 'guest# ',
  },
  {
    id: 'grub-cd',
    title: 'GRUB shell from a CD',
    description: 'The same shell on a read-only CD image: ls /, cat /readme.txt, hashsum --hash sha256 /random.bin.',
    file: 'grubcd.iso',
    format: 'raw',
    device: 'cdrom',
    memory: 64 * mebibyte,
    ready: 'CD-READY',
    prompt: 'grub> ',
  },
];

export const biosFiles = { seabios: 'bios/seabios.bin', vgabios: 'bios/vgabios.bin' } as const;

/** All that a build makes, relative to the manifest, without the manifest itself. */
export const builtFiles: readonly string[] = [...images.map(({ file }) => file), ...Object.values(biosFiles)];

interface Origin {
  readonly package: InstalledPackage;
  readonly copyright: string;
  readonly licence: string;
  readonly in: readonly string[];
}

function origins(packages: GuestPackages, tools: ReadonlyMap<string, InstalledPackage>): Origin[] {
  const copyrightOf = (root: string, name: string): string => join(root, 'usr/share/doc', name, 'copyright');
  const fetched = (role: keyof GuestPackages, licence: string, files: readonly string[]): Origin => ({
    package: packages[role],
    copyright: copyrightOf(packages[role].folder, packages[role].name),
    licence,
    in: files,
  });
  const installed = (name: string, licence: string, files: readonly string[]): Origin => ({
    package: tools.get(name)!,
    copyright: copyrightOf('/', name),
    licence,
    in: files,
  });
  const grubTools = packages['grub-tools'];
  return [
    fetched('kernel', 'GPL-2.0-only WITH Linux-syscall-note', ['guest.img']),
    fetched('busybox', 'GPL-2.0-only AND LGPL-2.1-or-later', ['guest.img']),
    {
      ...fetched('grub-modules', 'GPL-3.0-or-later', ['grub.img', 'grubcd.iso']),
      // grub-pc-bin's own documents are a link to grub-common's, of the same source.
      copyright: copyrightOf(grubTools.folder, grubTools.name),
    },
    installed('syslinux-common', 'GPL-2.0-or-later', ['guest.img']),
    installed('seabios', 'LGPL-3.0-only', Object.values(biosFiles)),
  ];
}

/** Writes `demo.json` and the packages' copyright files beside what was built into `folder`. */
export function writeManifest(
  folder: string,
  packages: GuestPackages,
  tools: ReadonlyMap<string, InstalledPackage>,
): DemoManifest {
  const manifest: DemoManifest = {
    bios: biosFiles,
    images: images.map((image) => ({ ...image, ...measure(join(folder, image.file)) })),
    packages: origins(packages, tools).map((origin) => describe(origin, folder)),
  };
  writeFileSync(join(folder, 'demo.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  return manifest;
}

export function readManifest(folder: string): DemoManifest {
  return JSON.parse(readFileSync(join(folder, 'demo.json'), 'utf8')) as DemoManifest;
}

function measure(file: string): Pick<DemoImage, 'size' | 'sha256'> {
  return { size: statSync(file).size, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') };
}

function describe(origin: Origin, folder: string): DemoPackage {
  const { name, version, source, sourceVersion } = origin.package;
  const copyright = `licences/${name}.txt`;
  mkdirSync(join(folder, 'licences'), { recursive: true });
  copyFileSync(origin.copyright, join(folder, copyright));
  return { name, version, source, 'source-version': sourceVersion, licence: origin.licence, copyright, in: origin.in };
}

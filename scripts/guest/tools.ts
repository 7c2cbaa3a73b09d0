// The programs that the build runs, from the machine's own Debian packages.
import { install } from '../setup.ts';
import { ask, GuestBuildError } from './run.ts';

/** Package -> what the build takes from it. */
const toolPackages = {
  e2fsprogs: 'mke2fs, debugfs',
  dosfstools: 'mkfs.vfat',
  mtools: 'mcopy',
  syslinux: 'syslinux',
  'syslinux-common': 'the MBR boot code',
  seabios: 'the BIOS and the VGA BIOS',
  xorriso: 'ISO images',
} as const;

export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  readonly source: string;
  readonly sourceVersion: string;
}

/** Those of the packages that the build needs which are installed. */
export function installedTools(): Map<string, InstalledPackage> {
  const names = Object.keys(toolPackages);
  const format = '${Package}\\t${Version}\\t${source:Package}\\t${source:Version}\\t${db:Status-Status}\\n';
  const installed = new Map<string, InstalledPackage>();
  const listing = ask('dpkg-query', ['-W', '-f', format, ...names]) ?? '';
  for (const line of listing.split('\n')) {
    const [name = '', version = '', source = '', sourceVersion = '', status] = line.split('\t');
    if (status === 'installed') installed.set(name, { name, version, source, sourceVersion });
  }
  return installed;
}

/**
 * Sees to it that the packages are there, and installs those that are missing where it may.
 * @returns the packages, by name.
 * @throws GuestBuildError when some are missing and cannot be installed.
 */
export function ensureTools(): Map<string, InstalledPackage> {
  const present = installedTools();
  const missing = Object.keys(toolPackages).filter((name) => !present.has(name));
  if (missing.length === 0) return present;
  const reason = install(...missing);
  if (reason === undefined) return installedTools();
  throw new GuestBuildError(
    `The demo guests are built with Debian packages that are missing and could not be installed (${reason}). ` +
      `Install them with: apt-get install ${missing.join(' ')}`,
  );
}

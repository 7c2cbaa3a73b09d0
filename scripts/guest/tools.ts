// The programs that the build runs, from the machine's own Debian packages.
import { ask, GuestBuildError, run } from './run.ts';

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
 * Makes sure that this machine can build guests at all, and installs the packages that are missing when it may.
 * @returns the packages, by name.
 * @throws GuestBuildError when the machine is no Debian, or packages are missing and cannot be installed.
 */
export function ensureTools(log: (line: string) => void): Map<string, InstalledPackage> {
  const present = installedTools();
  const missing = Object.keys(toolPackages).filter((name) => !present.has(name));
  if (missing.length === 0) return present;
  if (ask('apt-get', ['--version']) === undefined) {
    throw new GuestBuildError('The demo guests are built from Debian packages, and this machine has no apt-get.');
  }
  if (process.getuid?.() !== 0) {
    throw new GuestBuildError(
      `The demo guests need Debian packages that are not installed: ${missing.join(', ')}. ` +
        `Install them with: apt-get install ${missing.join(' ')}`,
    );
  }
  log(`installing ${missing.join(', ')}`);
  install(missing);
  const now = installedTools();
  const still = missing.filter((name) => !now.has(name));
  if (still.length > 0) throw new GuestBuildError(`apt-get did not install ${still.join(', ')}.`);
  return now;
}

/** A machine that never ran `apt-get update`, or not for long, finds no package to install: then, and only then, update. */
function install(names: readonly string[]): void {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const args = ['install', '--yes', '--quiet=2', '--no-install-recommends', ...names];
  try {
    run('apt-get', args, { env });
  } catch (first) {
    if (!(first instanceof GuestBuildError)) throw first;
    run('apt-get', ['update', '--quiet=2'], { env });
    run('apt-get', args, { env });
  }
}

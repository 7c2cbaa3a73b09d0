// `node scripts/setup.ts [--slow]`: installs the programs that the tests drive, once, where they are missing. Silent when all is there.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { chromiumPath } from './chromium.ts';

interface Tool {
  /** Debian's package. It comes from the release that the machine runs, which fixes its version. */
  readonly debianPackage: string;
  readonly programs: readonly string[];
  /** The parts of the tests that cannot run without it. */
  readonly neededBy: string;
  readonly otherwise: string;
  /** Only the slow tier drives it. */
  readonly slow?: true;
}

const tools = {
  chromium: {
    debianPackage: 'chromium',
    programs: [chromiumPath],
    neededBy: 'the browser tests and the end-to-end tests',
    otherwise: 'install Chromium and set CHROMIUM to its path',
  },
  qemu: {
    debianPackage: 'qemu-utils',
    programs: ['qemu-img', 'qemu-io'],
    neededBy: 'the interop tests',
    otherwise: "put QEMU's qemu-img and qemu-io in the path",
  },
  cryptsetup: {
    debianPackage: 'cryptsetup-bin',
    programs: ['cryptsetup'],
    neededBy: 'the interop tests of LUKS',
    otherwise: 'put cryptsetup in the path',
  },
  xz: {
    debianPackage: 'xz-utils',
    programs: ['xz'],
    neededBy: 'the tests of unpacking',
    otherwise: 'put xz in the path',
  },
  dosfstools: {
    debianPackage: 'dosfstools',
    programs: ['fsck.vfat'],
    neededBy: 'the tests of vvfat',
    otherwise: 'put fsck.vfat in the path',
  },
  mtools: {
    debianPackage: 'mtools',
    programs: ['mdir', 'mcopy', 'mtype'],
    neededBy: 'the tests of vvfat',
    otherwise: 'put mtools in the path',
  },
  bzip2: {
    debianPackage: 'bzip2',
    programs: ['bzip2'],
    neededBy: 'the tests of bzip2 and of dmg images',
    otherwise: 'put bzip2 in the path',
  },
  sevenZip: {
    debianPackage: '7zip',
    programs: ['7zz'],
    neededBy: "the tests with other programs' readers",
    otherwise: 'put 7zz in the path',
  },
  bximage: {
    debianPackage: 'bximage',
    programs: ['bximage'],
    neededBy: "the tests with images of Bochs's own program",
    otherwise: 'put bximage in the path',
  },
  dmg2img: {
    debianPackage: 'dmg2img',
    programs: ['dmg2img'],
    neededBy: 'the tests of dmg images',
    otherwise: 'put dmg2img in the path',
  },
  cloop: {
    debianPackage: 'cloop-utils',
    programs: ['create_compressed_fs'],
    neededBy: 'the tests of cloop images',
    otherwise: 'put create_compressed_fs in the path',
  },
  ext4: {
    debianPackage: 'e2fsprogs',
    programs: ['e2fsck', 'debugfs'],
    neededBy: 'the slow end-to-end tests',
    otherwise: 'put e2fsck and debugfs in the path',
    slow: true,
  },
  pc: {
    debianPackage: 'qemu-system-x86',
    programs: ['qemu-system-i386'],
    neededBy: "the slow tests that boot on QEMU's PC",
    otherwise: 'put qemu-system-i386 in the path',
    slow: true,
  },
} satisfies Record<string, Tool>;

export type ToolName = keyof typeof tools;

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The last two hold what administrators use; a user's PATH may lack them. */
const searchPath = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];

function isThere(program: string): boolean {
  if (isAbsolute(program)) return isExecutable(program);
  return searchPath.some((folder) => isExecutable(join(folder, program)));
}

/** What has to stand before apt-get for it to be allowed to install: nothing for root, `sudo` where it asks nothing. */
function privilege(): string[] | undefined {
  if (process.getuid?.() === 0) return [];
  return spawnSync('sudo', ['-n', 'true']).status === 0 ? ['sudo', '-n'] : undefined;
}

/** Runs apt-get; returns the reason if it failed. */
function aptGet(prefix: readonly string[], ...parameters: string[]): string | undefined {
  const [command, ...rest] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...parameters];
  const { status, stderr, error } = spawnSync(command!, rest, { encoding: 'utf8', timeout: 600_000 });
  if (status === 0) return undefined;
  return error?.message ?? (stderr.trim().split('\n').at(-1) || `apt-get ended with ${status}`);
}

/** Installs Debian packages; returns the reason if that failed. */
export function install(...debianPackages: readonly string[]): string | undefined {
  if (!isThere('apt-get')) return 'there is no apt-get here';
  const prefix = privilege();
  if (prefix === undefined) return 'only root may install packages';
  console.log(`installing ${debianPackages.join(', ')} (once)`);
  const parameters = ['install', '-y', '--no-install-recommends', ...debianPackages];
  if (aptGet(prefix, ...parameters) === undefined) return undefined;
  return aptGet(prefix, 'update') ?? aptGet(prefix, ...parameters);
}

/** Sees to one tool. Returns the sentence to print if it is missing and cannot be installed. */
function ensure({ debianPackage, programs, neededBy, otherwise }: Tool): string | undefined {
  const missing = (): string[] => programs.filter((program) => !isThere(program));
  if (missing().length === 0) return undefined;
  const reason = install(debianPackage) ?? (missing().length > 0 ? 'its package does not bring it' : undefined);
  if (reason === undefined) return undefined;
  return `${missing().join(' and ')} missing (${reason}); needed by ${neededBy}: ${otherwise}`;
}

/**
 * Installs what is missing and can be installed.
 *
 * @param slow whether the slow tier is to run, which needs more
 * @returns for each tool that is still missing, a sentence that says why, what needs it and what to do.
 */
export function setUpTools(slow: boolean): Map<ToolName, string> {
  const missing = new Map<ToolName, string>();
  for (const [name, tool] of Object.entries(tools) as [ToolName, Tool][]) {
    if (tool.slow === true && !slow) continue;
    const reason = ensure(tool);
    if (reason !== undefined) missing.set(name, reason);
  }
  return missing;
}

if (import.meta.main) {
  const missing = setUpTools(process.argv.includes('--slow'));
  for (const reason of missing.values()) console.error(reason);
  process.exitCode = missing.size === 0 ? 0 : 1;
}

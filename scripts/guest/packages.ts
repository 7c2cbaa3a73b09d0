// What goes into the guests: Debian packages, downloaded and only unpacked.
//
// They come through an apt root of the cache's own, with its own lists, so that neither the machine's dpkg nor its apt
// learns of a foreign architecture, and nothing depends on when somebody last ran `apt-get update`.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GuestBuildError, run } from './run.ts';

/** The last Debian release with a kernel for i386. */
const release = 'bookworm';

/** A meta package: its first dependency is the kernel of the day. */
const kernelPackage = 'linux-image-686';

export type PackageRole = 'kernel' | 'busybox' | 'grub-modules' | 'grub-tools' | 'grub-tools-library';

export interface GuestPackage {
  readonly role: PackageRole;
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly source: string;
  readonly sourceVersion: string;
  /** Where it is unpacked: the package's own root folder. */
  readonly folder: string;
}

export type GuestPackages = Readonly<Record<PackageRole, GuestPackage>>;

/**
 * Downloads and unpacks the guests' packages into the cache, or finds them there: what a cache holds stays as it is
 * until the cache is deleted, so that a rebuild gives the same images.
 * @throws GuestBuildError when apt has no Debian mirror, or the download fails.
 */
export function fetchPackages(cache: string, log: (line: string) => void): GuestPackages {
  const record = join(cache, 'packages.json');
  const known = existsSync(record) ? (JSON.parse(readFileSync(record, 'utf8')) as GuestPackages) : undefined;
  if (known && Object.values(known).every(({ folder }) => existsSync(folder))) return known;

  const apt = new PrivateApt(join(cache, 'apt'));
  log('reading the package lists');
  apt.update();
  const kernel = apt.firstDependency(kernelPackage);
  log(`downloading ${kernel}, busybox and GRUB`);
  const host = apt.hostArchitecture;
  const packages: GuestPackages = {
    kernel: apt.fetch('kernel', kernel, 'i386', cache),
    busybox: apt.fetch('busybox', 'busybox-static', 'i386', cache),
    'grub-modules': apt.fetch('grub-modules', 'grub-pc-bin', 'i386', cache),
    'grub-tools': apt.fetch('grub-tools', 'grub-common', host, cache),
    // grub-mkimage is linked with it, and a small Debian does not have it.
    'grub-tools-library': apt.fetch('grub-tools-library', 'libdevmapper1.02.1', host, cache),
  };
  writeFileSync(record, `${JSON.stringify(packages, undefined, 2)}\n`);
  return packages;
}

/** An apt of one's own in a folder: same mirror and keys as the machine's, other lists, other architectures. */
class PrivateApt {
  readonly hostArchitecture: string;
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(folder: string) {
    this.#folder = folder;
    this.hostArchitecture = run('dpkg', ['--print-architecture']).trim();
    this.#env = { APT_CONFIG: join(folder, 'apt.conf') };
    for (const name of ['lists/partial', 'cache/archives/partial', 'debs']) {
      mkdirSync(join(folder, name), { recursive: true });
    }
    const architectures = [...new Set(['i386', this.hostArchitecture])];
    const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
    writeFileSync(
      join(folder, 'sources.list'),
      `deb [arch=${architectures.join(',')} signed-by=${keyring}] ${machineMirror()} ${release} main\n`,
    );
    writeFileSync(join(folder, 'status'), '');
    writeFileSync(join(folder, 'apt.conf'), this.#configuration(architectures));
  }

  #configuration(architectures: readonly string[]): string {
    return `APT::Architecture "i386";
APT::Architectures { ${architectures.map((name) => `"${name}";`).join(' ')} };
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Dir::State "${this.#folder}";
Dir::State::Lists "${this.#folder}/lists";
Dir::State::status "${this.#folder}/status";
Dir::Cache "${this.#folder}/cache";
Dir::Etc::sourcelist "${this.#folder}/sources.list";
Dir::Etc::sourceparts "-";
`;
  }

  update(): void {
    run('apt-get', ['update', '--quiet=2'], { env: this.#env });
  }

  firstDependency(name: string): string {
    const listing = run('apt-cache', ['depends', name], { env: this.#env });
    const dependency = /Depends: (\S+)/.exec(listing)?.[1];
    if (dependency === undefined) throw new GuestBuildError(`Debian's package ${name} depends on nothing.`);
    return dependency;
  }

  /** Downloads a package, unpacks it into `<cache>/<role>` and throws the download away. */
  fetch(role: PackageRole, name: string, architecture: string, cache: string): GuestPackage {
    const downloads = join(this.#folder, 'debs', role);
    rmSync(downloads, { recursive: true, force: true });
    mkdirSync(downloads, { recursive: true });
    run('apt-get', ['download', '--quiet=2', `${name}:${architecture}`], { env: this.#env, cwd: downloads });
    const file = readdirSync(downloads).find((entry) => entry.endsWith('.deb'));
    if (file === undefined) throw new GuestBuildError(`apt-get downloaded no package for ${name}.`);
    const deb = join(downloads, file);
    const folder = join(cache, role);
    unpack(deb, folder);
    const described = describe(deb);
    rmSync(downloads, { recursive: true, force: true });
    return { role, name, architecture, folder, ...described };
  }
}

/** Unpacks beside the place and moves it there, so that a folder that exists is whole. */
function unpack(deb: string, folder: string): void {
  const partial = `${folder}.partial`;
  rmSync(partial, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
  run('dpkg-deb', ['--extract', deb, partial]);
  renameSync(partial, folder);
}

/** The control file's "Source: name (version)" is there only where they differ from the package's own. */
function describe(deb: string): Pick<GuestPackage, 'version' | 'source' | 'sourceVersion'> {
  const field = (name: string): string => run('dpkg-deb', ['--field', deb, name]).trim();
  const version = field('Version');
  const [, source = field('Package'), sourceVersion = version] = /^(\S+)(?: \((.*)\))?$/.exec(field('Source')) ?? [];
  return { version, source, sourceVersion };
}

/** The Debian mirror that this machine's apt is set up for. */
function machineMirror(): string {
  const system = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const codename = /^VERSION_CODENAME=(.*)$/m.exec(system)?.[1]?.replaceAll('"', '') ?? '';
  if (!/^ID="?debian"?$/m.test(system)) {
    throw new GuestBuildError('The demo guests are built from Debian packages, and this machine is not a Debian.');
  }
  // Without --no-release-info, apt leaves out what it has never downloaded.
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)';
  const targets = run('apt-get', ['indextargets', '--no-release-info', '--format', format]).split('\n');
  const releases = [codename, 'stable', 'oldstable', 'testing', 'unstable', 'sid'];
  for (const name of releases) {
    const found = targets.map((line) => line.split('|')).find(([, suite, part]) => suite === name && part === 'main');
    if (found?.[0]) return found[0];
  }
  throw new GuestBuildError("This machine's apt has no Debian mirror in its sources: the demo guests cannot be built.");
}

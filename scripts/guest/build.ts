// Builds what the demo page and the end-to-end tests boot: `node scripts/guest/build.ts [--soft] [--force]`.
//
// --soft   a machine that cannot build guests is no failure: says why, ends with status 0
// --force  builds although everything is up to date
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { copyBiosFiles } from './bios.ts';
import { buildGrubCd, buildGrubDisk } from './grub.ts';
import { buildLinuxDisk } from './linux.ts';
import { withLock } from './lock.ts';
import { builtFiles, readManifest, writeManifest, type DemoManifest } from './manifest.ts';
import { fetchPackages } from './packages.ts';
import { projectFolders, type GuestFolders } from './paths.ts';
import { GuestBuildError } from './run.ts';
import { inputsDigest, isUpToDate, writeStamp } from './stamp.ts';
import { ensureTools, installedTools } from './tools.ts';

export interface BuildOptions {
  readonly folders?: GuestFolders;
  readonly force?: boolean;
  readonly log?: (line: string) => void;
}

/**
 * Builds the guests, unless they are there and up to date. Two processes may call it at the same time.
 * @returns the manifest of what is there now.
 * @throws GuestBuildError when this machine cannot build them; what an earlier build made stays in place.
 */
export async function buildGuests(options: BuildOptions = {}): Promise<DemoManifest> {
  const { folders = projectFolders, force = false, log = () => {} } = options;
  if (!force && isUpToDate(folders, inputsDigest(folders, installedTools()))) return readManifest(folders.output);
  return withLock(join(folders.cache, 'lock'), () => {
    const tools = ensureTools();
    if (!force && isUpToDate(folders, inputsDigest(folders, tools))) return readManifest(folders.output);
    const packages = fetchPackages(folders.cache, log);
    const work = join(folders.cache, 'work');
    const fresh = join(work, 'output');
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    log('building the GRUB disk and CD');
    buildGrubDisk(packages, join(work, 'grub'), join(fresh, 'grub.img'));
    buildGrubCd(packages, join(work, 'grub-cd'), join(fresh, 'grubcd.iso'));
    log('building the Linux disk');
    buildLinuxDisk(packages, join(work, 'linux'), join(fresh, 'guest.img'));
    copyBiosFiles(join(fresh, 'bios'));
    const manifest = writeManifest(fresh, packages, tools);
    publish(fresh, folders.output, manifest);
    writeStamp(folders, inputsDigest(folders, tools));
    return manifest;
  });
}

/** Moves file by file into place, the manifest last: whoever reads it finds whole files. */
function publish(fresh: string, output: string, manifest: DemoManifest): void {
  const copyrights = manifest.packages.map(({ copyright }) => copyright);
  for (const name of [...builtFiles, ...copyrights, 'demo.json']) {
    mkdirSync(dirname(join(output, name)), { recursive: true });
    renameSync(join(fresh, name), join(output, name));
  }
}

/** Errors of a disk that is full or not ours to write, beside our own. */
const machineErrors = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT']);

function isTheMachines(error: unknown): error is Error {
  if (error instanceof GuestBuildError) return true;
  return error instanceof Error && 'code' in error && machineErrors.has(String(error.code));
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { soft: { type: 'boolean' }, force: { type: 'boolean' } } });
  try {
    const manifest = await buildGuests({ force: values.force ?? false, log: (line) => console.log(`guest: ${line}`) });
    console.log(`guest: ${manifest.images.map(({ file }) => file).join(', ')} in ${projectFolders.output}`);
  } catch (error) {
    if (!isTheMachines(error)) throw error;
    console.error(`guest: ${error.message}`);
    if (values.soft) console.error('guest: going on without the demo images; everything else works.');
    else process.exitCode = 1;
  }
}

if (import.meta.main) await main();

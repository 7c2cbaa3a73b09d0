// Whether what was built is still what a build would make.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { builtFiles } from './manifest.ts';
import { sourceFolder, type GuestFolders } from './paths.ts';
import type { InstalledPackage } from './tools.ts';

interface Stamp {
  /** Digest of the builder's sources and of the versions of what it builds from. */
  readonly inputs: string;
  /** File -> length and time of its last change. */
  readonly outputs: Readonly<Record<string, string>>;
}

const outputNames = [...builtFiles, 'demo.json'];

/** In this folder, but no part of the build. */
const otherFiles = new Set(['qemu-boot.ts', 'README.md']);

/** The versions of fetched packages come in by the record that the cache keeps of them. */
export function inputsDigest(folders: GuestFolders, tools: ReadonlyMap<string, InstalledPackage>): string {
  const hash = createHash('sha256');
  for (const path of readdirSync(sourceFolder, { recursive: true, encoding: 'utf8' }).toSorted()) {
    const file = join(sourceFolder, path);
    if (!otherFiles.has(path) && statSync(file).isFile()) hash.update(path).update('\0').update(readFileSync(file));
  }
  for (const { name, version } of tools.values()) hash.update(`${name} ${version}\n`);
  const packages = join(folders.cache, 'packages.json');
  if (existsSync(packages)) hash.update(readFileSync(packages));
  return hash.digest('hex');
}

export function isUpToDate(folders: GuestFolders, inputs: string): boolean {
  const file = stampFile(folders);
  if (!existsSync(file)) return false;
  const stamp = JSON.parse(readFileSync(file, 'utf8')) as Stamp;
  return stamp.inputs === inputs && outputNames.every((name) => stamp.outputs[name] === state(folders, name));
}

export function writeStamp(folders: GuestFolders, inputs: string): void {
  const outputs = Object.fromEntries(outputNames.map((name) => [name, state(folders, name) ?? 'missing']));
  writeFileSync(stampFile(folders), JSON.stringify({ inputs, outputs } satisfies Stamp));
}

function stampFile(folders: GuestFolders): string {
  return join(folders.cache, 'stamp.json');
}

function state(folders: GuestFolders, name: string): string | undefined {
  const found = statSync(join(folders.output, name), { throwIfNoEntry: false });
  return found && `${found.size} ${found.mtimeMs}`;
}

/** Copies of a folder that are brought back to what it holds: only files that were changed are copied again. */
import { execFileSync } from 'node:child_process';
import { lstatSync, lutimesSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** The time of change that a fresh copy gets: whatever is written afterwards has another. Seconds. */
const UNTOUCHED = 1_000_000_000;

/** Makes a folder hold what another holds, and nothing else. What is not a plain file is copied each time. */
export function refreshCopy(original: string, copy: string): void {
  mkdirSync(copy, { recursive: true });
  const names = readdirSync(original);
  const wanted = new Set(names);
  for (const name of readdirSync(copy)) {
    if (!wanted.has(name) || !isFresh(original, copy, name)) rmSync(join(copy, name), { recursive: true });
  }
  const present = new Set(readdirSync(copy));
  const missing = names.filter((name) => !present.has(name));
  if (missing.length === 0) return;
  execFileSync('cp', ['-a', '--sparse=auto', ...missing.map((name) => join(original, name)), copy]);
  for (const name of missing) lutimesSync(join(copy, name), UNTOUCHED, UNTOUCHED);
}

function isFresh(original: string, copy: string, name: string): boolean {
  const [wanted, found] = [original, copy].map((folder) => lstatSync(join(folder, name)));
  return wanted!.isFile() && found!.isFile() && found!.mtimeMs === UNTOUCHED * 1000 && sameShape(wanted!, found!);
}

/** Permissions too: tests take them away. */
function sameShape(one: { size: number; mode: number }, other: { size: number; mode: number }): boolean {
  return one.size === other.size && one.mode === other.mode;
}

/** Names of files that were changed in a copy since it was refreshed, or made, or removed. */
export function changedFiles(original: string, copy: string): string[] {
  const names = new Set([...readdirSync(original), ...readdirSync(copy)]);
  const isThere = (folder: string, name: string) =>
    lstatSync(join(folder, name), { throwIfNoEntry: false }) !== undefined;
  return [...names].filter(
    (name) => !isThere(original, name) || !isThere(copy, name) || !isFresh(original, copy, name),
  );
}

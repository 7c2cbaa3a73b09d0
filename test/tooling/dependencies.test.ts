import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Package {
  readonly version: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const readPackage = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Package;

test('docs/DEPENDENCIES.md has a row with version, licence and reason for each dependency, and no other', () => {
  const { dependencies, optionalDependencies, devDependencies } = readPackage('package.json');
  const wanted = Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies }).map(
    ([name, range]) => {
      const { license } = readPackage(`node_modules/${name}/package.json`);
      return `${name} ${range.replace(/^npm:.*@/, '')} ${license}`;
    },
  );
  const rows = readFileSync('docs/DEPENDENCIES.md', 'utf8').matchAll(
    /^\| (\S+) \| (\d\S*) \| (\S[^|]*\S) \| \S.* \|$/gm,
  );
  const found = [...rows].map(([, name, version, license]) => `${name} ${version} ${license}`);
  expect(found.toSorted()).toEqual(wanted.toSorted());
});

test('the lock file names no registry and has the packages of every platform', () => {
  const text = readFileSync('package-lock.json', 'utf8');
  expect(text).not.toContain('"resolved"');
  const lock = JSON.parse(text) as { packages: Record<string, { optionalDependencies?: Record<string, string> }> };
  const optional = Object.values(lock.packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
  const names = new Set(Object.keys(lock.packages).map((path) => path.slice(path.lastIndexOf('node_modules/') + 13)));
  expect(optional.filter((name) => !names.has(name))).toEqual([]);
});

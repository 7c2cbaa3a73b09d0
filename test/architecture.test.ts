import { globSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { findCycle, importsOf, importsUnder, type Import } from './support/imports.ts';

// The words that the whole core speaks, below everything else: what a driver is, errors, extents, coroutines.
const vocabulary =
  /^src\/block\/(block-child|check-result|co|compression|driver|error|events|extent|limits|options|probe|registry|request|snapshot|storage|time-slice)\.ts$/;

/** The floors of the house, by the first pattern that fits. Type imports count too. */
const floors: readonly { name: string; files: RegExp; imports: readonly string[] }[] = [
  { name: 'vocabulary', files: vocabulary, imports: ['bitmap'] },
  { name: 'binary', files: /^src\/binary\//, imports: ['vocabulary'] },
  { name: 'codec', files: /^src\/codec\//, imports: ['vocabulary', 'binary'] },
  { name: 'crypto', files: /^src\/block\/crypto\//, imports: ['vocabulary', 'binary', 'codec'] },
  { name: 'format', files: /^src\/block\/format\//, imports: ['vocabulary', 'binary', 'codec', 'crypto', 'bitmap'] },
  { name: 'protocol', files: /^src\/block\/protocol\//, imports: ['vocabulary', 'binary', 'codec'] },
  { name: 'filter', files: /^src\/block\/filter\//, imports: ['vocabulary', 'binary', 'codec'] },
  { name: 'graph', files: /^src\/block\/graph\//, imports: ['vocabulary', 'binary', 'codec', 'io', 'bitmap'] },
  { name: 'io', files: /^src\/block\/io\//, imports: ['vocabulary', 'binary', 'bitmap'] },
  { name: 'bitmap', files: /^src\/block\/bitmap\//, imports: ['vocabulary', 'binary'] },
  // Jobs, the image verbs, and what ties the core together (registry, probe, backend, index).
  {
    name: 'core',
    files: /^src\/block\/([^/]+\.ts$|job\/|image\/)/,
    imports: ['vocabulary', 'binary', 'codec', 'format', 'protocol', 'filter', 'graph', 'io', 'bitmap'],
  },
  { name: 'library', files: /^src\/library\//, imports: ['vocabulary', 'binary', 'core', 'protocol'] },
  {
    name: 'worker',
    files: /^src\/worker\//,
    imports: ['vocabulary', 'binary', 'codec', 'core', 'graph', 'io', 'protocol', 'format', 'filter', 'library'],
  },
  { name: 'client', files: /^src\/client\//, imports: ['vocabulary', 'binary', 'worker'] },
  { name: 'emulator', files: /^src\/emulator\//, imports: ['vocabulary', 'binary', 'core', 'client'] },
  { name: 'pwa', files: /^src\/pwa\//, imports: ['vocabulary'] },
  { name: 'ui', files: /^src\/ui\//, imports: ['vocabulary', 'client', 'emulator', 'pwa'] },
  { name: 'node', files: /^src\/node\//, imports: ['vocabulary', 'binary', 'codec', 'core', 'protocol', 'graph'] },
  { name: 'cli', files: /^src\/cli\//, imports: ['vocabulary', 'binary', 'core', 'node'] },
];

const floorOf = (file: string) => floors.find(({ files }) => files.test(file));

/** The driver that a file belongs to, such as `format/qcow2`, or undefined for shared files of a kind. */
const driverOf = (file: string) => /^src\/block\/((?:format|protocol|filter)\/(?!shared\/)[^/]+)\//.exec(file)?.[1];

/** What is wrong with an import between two files of the project, or undefined. */
function violation({ from, to }: Import): string | undefined {
  const upper = floorOf(from);
  const lower = floorOf(to);
  if (upper === undefined) return `${from} is on no floor that this test knows`;
  if (lower === undefined) return `${from} imports ${to}, which is on no floor that this test knows`;
  const [fromDriver, toDriver] = [driverOf(from), driverOf(to)];
  if (fromDriver !== undefined && toDriver !== undefined && fromDriver !== toDriver) {
    return `${from} imports ${to}: a driver imports no other driver`;
  }
  if (upper === lower || upper.imports.includes(lower.name)) return undefined;
  return `${from} imports ${to}: ${upper.name} may import ${upper.imports.join(', ') || 'nothing'}, not ${lower.name}`;
}

const environmentFree = /^src\/(binary|codec|block\/(?!protocol\/))/;

/** Pure functions on bytes, the same everywhere: the core may use them outside src/codec too. */
const purePackages = /^@noble\/hashes\//;

/** What is wrong with an import of a package or of a Node module. */
function packageViolation({ from, to }: Import): string | undefined {
  if (to.startsWith('node:')) {
    const knowsNode = /^src\/(node|cli|block\/protocol\/file)\//.test(from);
    return knowsNode ? undefined : `${from} imports ${to}: only src/node, src/cli and the file protocol know Node`;
  }
  const allowed = !environmentFree.test(from) || from.startsWith('src/codec/') || purePackages.test(to);
  return allowed ? undefined : `${from} imports ${to}: the core needs no package`;
}

const isText = (found: string | undefined): found is string => found !== undefined;
const imports = importsUnder('src');

/** A place that must not be in a circle: a folder, and in src/block, where files of several floors lie, each file. */
const placeOf = (file: string) => (/^src\/block\/[^/]+\.ts$/.test(file) ? file : file.slice(0, file.lastIndexOf('/')));

describe('architecture', () => {
  test('imports point down', () => {
    expect(
      imports
        .filter((found) => found.relative)
        .map(violation)
        .filter(isText),
    ).toEqual([]);
  });

  test('the core needs neither Node nor a package that does more than compute', () => {
    expect(
      imports
        .filter((found) => !found.relative)
        .map(packageViolation)
        .filter(isText),
    ).toEqual([]);
  });

  test('no folders import each other in a circle', () => {
    const edges = new Map<string, Set<string>>();
    for (const { from, to, relative } of imports) {
      const [upper, lower] = [placeOf(from), placeOf(to)];
      // driver.ts, extent.ts and their like are one vocabulary in several files.
      if (!relative || upper === lower || (vocabulary.test(from) && vocabulary.test(to))) continue;
      edges.set(upper, (edges.get(upper) ?? new Set()).add(lower));
    }
    expect(findCycle(edges)).toBeUndefined();
  });

  test('sources name no path of a machine and no registry', () => {
    const files = globSync(['src/**/*', 'types/**/*', 'docs/**/*', '*.md'], { withFileTypes: true });
    const machine = /(^|[\s'"`(=])\/(home|root|tmp|usr|var|work|opt|Users)\/|registry\.npmjs/m;
    const naming = files
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath}/${entry.name}`)
      .filter((file) => machine.test(readFileSync(file, 'utf8')));
    expect(naming).toEqual([]);
  });
});

describe('the checks themselves', () => {
  const check = (from: string, statement: string) => importsOf(from, statement).map(violation).filter(isText);

  test('see imports of every form', () => {
    const text = `import a from './a.ts'; import type { B } from './b.ts'; export * from '../c.ts'; await import('./d.ts');`;
    expect(importsOf('src/ui/main.ts', text).map(({ to }) => to)).toEqual([
      'src/ui/a.ts',
      'src/ui/b.ts',
      'src/c.ts',
      'src/ui/d.ts',
    ]);
  });

  test('report what points up, sideways or nowhere', () => {
    expect(check('src/block/io/read.ts', `import '../../worker/entry.ts'`)).toHaveLength(1);
    expect(check('src/block/co.ts', `import type { X } from './graph/node.ts'`)).toHaveLength(1);
    expect(check('src/block/format/raw/image.ts', `import '../qcow2/layout.ts'`)).toHaveLength(1);
    expect(check('src/ui/main.ts', `import '../worker/entry.ts'`)).toHaveLength(1);
    expect(check('src/elsewhere/x.ts', `import '../block/co.ts'`)).toHaveLength(1);
    expect(check('src/block/format/raw/image.ts', `import '../../co.ts'; import './layout.ts'`)).toEqual([]);
    expect(check('src/block/format/index.ts', `import './raw/driver.ts'`)).toEqual([]);
  });

  test('report a package in the core, and Node outside its floors', () => {
    const checkPackage = (from: string, to: string) => packageViolation({ from, to, relative: false });
    expect(checkPackage('src/block/io/read.ts', 'comlink')).toContain('comlink');
    expect(checkPackage('src/worker/entry.ts', 'node:fs')).toContain('node:fs');
    expect(checkPackage('src/block/protocol/file/storage.ts', 'node:fs')).toBeUndefined();
    expect(checkPackage('src/block/protocol/indexeddb/storage.ts', 'idb-keyval')).toBeUndefined();
  });

  test('find a circle', () => {
    const edges = (pairs: readonly (readonly [string, string])[]) =>
      new Map(pairs.map(([from, to]) => [from, new Set([to])]));
    expect(
      findCycle(
        edges([
          ['a', 'b'],
          ['b', 'c'],
          ['c', 'b'],
        ]),
      ),
    ).toEqual(['b', 'c', 'b']);
    expect(
      findCycle(
        edges([
          ['a', 'b'],
          ['b', 'c'],
        ]),
      ),
    ).toBeUndefined();
  });
});

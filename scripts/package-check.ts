// Looks at the built package as its users get it: publint and are-the-types-wrong on the packed files, a strict TypeScript
// program that imports every export, Node importing what runs in Node, and the programs of the command line without anything else.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run } from './run.ts';

const exported = Object.keys(
  (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object }).exports,
)
  .filter((path) => path !== './package.json')
  .map((path) => path.replace(/^\./, 'spindle'));

/** A page or a worker of somebody else's, written as strictly as TypeScript allows. */
function compileConsumer(folder: string): void {
  const imports = exported.map((path, index) => `export * as part${index} from '${path}';\n`);
  writeFileSync(join(folder, 'consumer.ts'), imports.join(''));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
    skipLibCheck: true,
    target: 'ES2023',
    module: 'NodeNext',
    lib: ['ES2023', 'ESNext.Disposable', 'DOM', 'DOM.Iterable', 'DOM.AsyncIterable'],
    types: [],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
  run('tsc', '-p', folder);
}

/** What needs no browser must load in Node, and bring something. */
function importInNode(folder: string): void {
  const code = ['spindle/block', 'spindle/node'].map(
    (path) => `if (Object.keys(await import('${path}')).length === 0) throw new Error('${path} exports nothing');\n`,
  );
  writeFileSync(join(folder, 'import.mjs'), code.join(''));
  run('node', join(folder, 'import.mjs'));
}

/**
 * The packed programs in a folder with no other package near: each is one file that needs nothing, koffi neither. They are started
 * as the links that npm makes start them.
 */
function runPacked(): void {
  const place = mkdtempSync(join(tmpdir(), 'spindle-packed-'));
  try {
    execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', place], { cwd: root });
    execFileSync('tar', ['-xzf', globSync('*.tgz', { cwd: place })[0]!], { cwd: place });
    mkdirSync(join(place, 'node_modules/.bin'), { recursive: true });
    renameSync(join(place, 'package'), join(place, 'node_modules/spindle'));
    const start = (program: 'spindle-img' | 'spindle-io', ...parameters: string[]): string => {
      const link = join(place, 'node_modules/.bin', program);
      if (!existsSync(link)) symlinkSync(`../spindle/dist/cli/${program}.js`, link);
      return execFileSync(link, parameters, { cwd: place, encoding: 'utf8' });
    };
    start('spindle-img', 'create', '-q', '-f', 'qcow2', '-o', 'compression_type=zstd', 'a.qcow2', '4M');
    start('spindle-io', '-f', 'qcow2', '-c', 'write -c -P 7 0 64k', '-c', 'write -P 8 1M 100k', 'a.qcow2');
    start('spindle-img', 'convert', '-O', 'vmdk', 'a.qcow2', 'b.vmdk');
    start('spindle-img', 'check', '-q', 'a.qcow2');
    const compared = start('spindle-img', 'compare', 'a.qcow2', 'b.vmdk');
    if (compared !== 'Images are identical.\n') throw new Error(`compare of the packed programs: ${compared}`);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/**
 * Modules of Node that found their way to the browser would fail there when they are first asked for something. v86's library has some:
 * it looks where it is before it asks.
 */
function refuseNodeInPage(): void {
  const ofV86 = /\/(?:libv86|__vite-browser-external)-[^/]*$/;
  for (const file of globSync('dist/page/**/*.js', { cwd: root })) {
    const code = ofV86.test(file) ? '' : readFileSync(join(root, file), 'utf8');
    const found = /(?:\bfrom|\bimport\(?)\s*["'`](?:node:|\.\/__vite-browser-external)/.exec(code);
    if (found !== null) throw new Error(`${file} asks for a module of Node: ${found[0]}`);
  }
}

const folder = join(root, '.cache/consumer');
rmSync(folder, { recursive: true, force: true });
mkdirSync(join(folder, 'node_modules'), { recursive: true });
symlinkSync(root, join(folder, 'node_modules/spindle'), 'dir');
if (!existsSync(join(root, 'dist'))) throw new Error('there is no dist/: run `npm run build` first');

run('publint', '--strict');
run('attw', '--pack', '.', '--profile', 'esm-only', '--format', 'ascii');
compileConsumer(folder);
importInNode(folder);
refuseNodeInPage();
runPacked();
console.log(`package: ${exported.join(', ')} resolve, type-check and load; the programs run from the packed file`);

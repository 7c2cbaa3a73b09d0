// Looks at the built package as its users get it: publint and are-the-types-wrong on the packed files, a strict TypeScript
// program that imports every export, and Node importing what runs in Node.
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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

const folder = join(root, '.cache/consumer');
rmSync(folder, { recursive: true, force: true });
mkdirSync(join(folder, 'node_modules'), { recursive: true });
symlinkSync(root, join(folder, 'node_modules/spindle'), 'dir');
if (!existsSync(join(root, 'dist'))) throw new Error('there is no dist/: run `npm run build` first');

run('publint', '--strict');
run('attw', '--pack', '.', '--profile', 'esm-only', '--format', 'ascii');
compileConsumer(folder);
importInNode(folder);
console.log(`package: ${exported.join(', ')} resolve, type-check and load`);

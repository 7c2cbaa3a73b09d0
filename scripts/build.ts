// `npm run build`: dist/ with the package's modules and their types, unbundled, dist/cli with the programs of the command
// line, each in one file, and dist/page with the built page.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildPrograms } from './build/cli.ts';
import { finishEmittedFiles } from './build/specifiers.ts';
import { root, run } from './run.ts';

// A module that several parts share is emitted by each; the last is the one that knows it best.
const parts = ['client', 'node', 'worker', 'core'];

rmSync(join(root, 'dist'), { recursive: true, force: true });
for (const part of parts) run('tsc', '-p', `tsconfig.${part}.json`);
finishEmittedFiles(join(root, 'dist'));
await buildPrograms();
run('vite', 'build', '--logLevel', 'warn');
console.log('built dist/ (modules and types), dist/cli and dist/page');

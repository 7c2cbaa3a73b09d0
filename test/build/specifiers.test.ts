import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { finishEmittedFiles, referencesOf, rewriteDeclaration, rewriteModule } from '../../scripts/build/specifiers.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'spindle-build-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('a worker is started from the emitted file', () => {
  const source = `new Worker(new URL('../worker/entry.ts', import.meta.url), { type: 'module' });`;
  const split = `new URL(\n  "./entry.ts",\n  import.meta.url,\n)`;
  expect(rewriteModule(source)).toBe(source.replace('.ts', '.js'));
  expect(rewriteModule(`new URL("./a.ts", import.meta.url)`)).toBe(`new URL("./a.js", import.meta.url)`);
  expect(rewriteModule(`new URL('./a.wasm', import.meta.url)`)).toBe(`new URL('./a.wasm', import.meta.url)`);
  expect(rewriteModule(`new URL('./a.ts', base)`)).toBe(`new URL('./a.ts', base)`);
  expect(rewriteModule(split)).toBe(split.replace('.ts', '.js'));
});

test('declarations import the emitted modules', () => {
  expect(rewriteDeclaration(`export * from './co.ts';\nlet x: import("../a.ts").B;`)).toBe(
    `export * from './co.js';\nlet x: import("../a.js").B;`,
  );
});

test('references in comments are none', () => {
  expect(referencesOf(`// import './a.js'\n/* from './b.js' */ import './c.js'; import('./d.js')`)).toEqual([
    './c.js',
    './d.js',
  ]);
});

test('a reference to a file that was not emitted fails the build and is named', () => {
  writeFileSync(join(folder, 'index.js'), `new URL('./entry.ts', import.meta.url)`);
  expect(() => finishEmittedFiles(folder)).toThrow('index.js refers to ./entry.js');
  writeFileSync(join(folder, 'entry.js'), '');
  finishEmittedFiles(folder);
  expect(readFileSync(join(folder, 'index.js'), 'utf8')).toBe(`new URL('./entry.js', import.meta.url)`);
});

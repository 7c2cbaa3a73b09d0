import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';

// The general linter has its half of the work: promises that nobody waits for. It needs the project's tsconfig.json for its types,
// so the snippet lies for a moment in the project.
const folder = `test/lint/oxlint-${process.pid}`;

beforeAll(() => mkdirSync(folder));
afterAll(() => rmSync(folder, { recursive: true }));

function rulesBrokenBy(body: string): string[] {
  const head = `import type { MaybePromise } from '../../../src/block/co.ts';\ndeclare function f(): MaybePromise<number>;\n`;
  writeFileSync(`${folder}/snippet.ts`, `${head}export function g(): unknown {\n${body}\n}\n`);
  const { stdout } = spawnSync('node_modules/.bin/oxlint', ['--format', 'json', `${folder}/snippet.ts`], {
    encoding: 'utf8',
  });
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string }[] };
  return diagnostics.map(({ code }) => code);
}

test('a dropped MaybePromise is an error, a returned one is not', () => {
  expect(rulesBrokenBy('  f();\n  return 1;')).toEqual(['typescript(no-floating-promises)']);
  expect(rulesBrokenBy('  return f();')).toEqual([]);
});

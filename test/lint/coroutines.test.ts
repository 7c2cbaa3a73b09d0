import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript-api';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkProgram, isCore } from '../../scripts/lint/coroutines.ts';
import { messages, type Finding } from '../../scripts/lint/rules.ts';

const good = fileURLToPath(new URL('snippets/good.ts', import.meta.url));
const bad = fileURLToPath(new URL('snippets/bad.ts', import.meta.url));
let findings: Finding[];

beforeAll(() => {
  const program = ts.createProgram([good, bad], {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts'],
    types: [],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    allowImportingTsExtensions: true,
  });
  const errors = ts
    .getPreEmitDiagnostics(program)
    .map((error) => ts.flattenDiagnosticMessageText(error.messageText, '\n'));
  expect(errors, 'the snippets themselves have the types that they seem to have').toEqual([]);
  findings = checkProgram(program, (path) => path.startsWith('test/lint/snippets/'));
});

/** `line rule` for each rule that a comment in the file asks for. */
function expectations(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, index) => {
      const [, distance, rules] = /\/\/ (Two lines below: )?expect ([\w -]+)$/.exec(line) ?? [];
      const marked = index + 1 + (distance === undefined ? 0 : 2);
      return rules?.split(' ').map((rule) => `${marked} ${rule}`) ?? [];
    });
}

const reported = (file: string): string[] =>
  findings.filter((finding) => finding.file === file).map(({ line, rule }) => `${line} ${rule}`);

describe('coroutine lint', () => {
  test('reports each bad line by its rule, and nothing else', () => {
    expect(reported(bad).toSorted()).toEqual(expectations(bad).toSorted());
  });

  test('has a bad line for each rule', () => {
    const covered = new Set(findings.map(({ rule }) => rule));
    expect([...covered].toSorted()).toEqual(Object.keys(messages).toSorted());
  });

  test('lets good code pass', () => {
    expect(reported(good)).toEqual([]);
  });

  test('holds the core to more than the drivers, and leaves alone the file that runs coroutines', () => {
    expect(isCore('src/block/io/read.ts')).toBe(true);
    expect(isCore('src/codec/zlib.ts')).toBe(true);
    expect(isCore('src/block/co.ts')).toBe(false);
    expect(isCore('src/block/protocol/http/open.ts')).toBe(false);
    expect(isCore('src/worker/entry.ts')).toBe(false);
  });
});

import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

// The compiler turns the `.ts` of imports into `.js`, but not that of `new URL('./x.ts', import.meta.url)`, the form in
// which bundlers recognise a worker, and not that of imports in declaration files.
const workerUrl = /(new URL\(\s*)(['"])(\.{1,2}\/[^'"]+)\.ts\2(\s*,\s*import\.meta\.url\s*,?\s*\))/g;
const declarationImport = /(\bfrom\s+|\bimport\()(['"])(\.{1,2}\/[^'"]+)\.ts\2/g;

/** The text of an emitted module with every `new URL('….ts', import.meta.url)` naming the emitted file. */
export function rewriteModule(text: string): string {
  return text.replace(workerUrl, '$1$2$3.js$2$4');
}

/** The text of an emitted declaration file with every relative import naming the emitted module. */
export function rewriteDeclaration(text: string): string {
  return text.replace(declarationImport, '$1$2$3.js$2');
}

/** Relative references of an emitted file, to modules and to workers. */
export function referencesOf(text: string): string[] {
  const references = /(?:\bfrom\s+|\bimport\s*\(?\s*|new URL\(\s*)['"](\.{1,2}\/[^'"]+)['"]/g;
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  return [...code.matchAll(references)].map((match) => match[1]!);
}

/**
 * Mends the references of every emitted file in a folder.
 *
 * @throws Error naming each reference to a file that was not emitted.
 */
export function finishEmittedFiles(folder: string): void {
  const broken: string[] = [];
  for (const name of globSync('**/*.{js,d.ts}', { cwd: folder })) {
    const file = join(folder, name);
    const text = readFileSync(file, 'utf8');
    const finished = name.endsWith('.d.ts') ? rewriteDeclaration(text) : rewriteModule(text);
    if (finished !== text) writeFileSync(file, finished);
    for (const reference of referencesOf(finished)) {
      if (!existsSync(join(dirname(file), reference))) broken.push(`${name} refers to ${reference}`);
    }
  }
  if (broken.length > 0) throw new Error(`references to files that were not emitted:\n${broken.join('\n')}`);
}

import { globSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import ts from 'typescript-api';

export interface Import {
  /** The importing file, from the project's root. */
  readonly from: string;
  /** A file of the project, or a package or Node module as it is written. */
  readonly to: string;
  readonly relative: boolean;
}

/** The imports, type imports, re-exports and `import()`s of a source text. */
export function importsOf(from: string, text: string): Import[] {
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => {
    const to = fileName.startsWith('.') ? posix.join(posix.dirname(from), fileName) : fileName;
    // A package's licence is shown by the page; packages export code alone, so it is named by its place.
    const relative = fileName.startsWith('.') && !to.startsWith('node_modules/');
    return { from, relative, to };
  });
}

/** Every import of every source file under a folder. */
export function importsUnder(folder: string): Import[] {
  return globSync(`${folder}/**/*.ts`)
    .toSorted()
    .flatMap((file) => importsOf(file, readFileSync(file, 'utf8')));
}

/**
 * A circle among places that import each other, or undefined.
 *
 * @param edges from each place to those it imports.
 * @returns the places of one circle in order, the first again at the end.
 */
export function findCycle(edges: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (place: string): string[] | undefined => {
    if (path.includes(place)) return [...path.slice(path.indexOf(place)), place];
    if (done.has(place)) return undefined;
    path.push(place);
    for (const next of edges.get(place) ?? []) {
      const cycle = visit(next);
      if (cycle !== undefined) return cycle;
    }
    path.pop();
    done.add(place);
    return undefined;
  };
  for (const place of edges.keys()) {
    const cycle = visit(place);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

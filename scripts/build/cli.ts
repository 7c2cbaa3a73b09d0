// The programs of the command line: one file each, for they are to start quickly.
import { chmodSync, globSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type Plugin } from 'vite';
import { root } from '../run.ts';

/**
 * Bundles src/cli/spindle-*.ts into a folder, which must be in the project: what is not bundled is looked for from there.
 *
 * As CommonJS: what Node has of its own it then loads as far as it is used. The names that a module imports of it are all of them
 * evaluated, and `node:fs` and `node:util` have some that take a tenth of the start of a process.
 */
export async function buildPrograms(outDir: string = join(root, 'dist/cli')): Promise<void> {
  rmSync(outDir, { recursive: true, force: true });
  for (const program of globSync('src/cli/spindle-*.ts', { cwd: root })) {
    await build({
      configFile: false,
      root,
      logLevel: 'warn',
      publicDir: false,
      ssr: { noExternal: true },
      plugins: [withoutJavaScriptCodecs, ascii],
      build: {
        ssr: join(root, program),
        outDir,
        emptyOutDir: false,
        target: 'node20',
        minify: 'oxc',
        rolldownOptions: {
          output: { format: 'cjs', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' },
        },
      },
    });
    chmodSync(join(outDir, `${basename(program, '.ts')}.js`), 0o755);
  }
  writeFileSync(join(outDir, 'package.json'), '{ "type": "commonjs" }\n');
}

/** What is there for pages, as it is imported, and what it exports. */
const FOR_PAGES: ReadonlyMap<string, string> = new Map([
  ['@noble/ciphers/aes.js', 'ecb'],
  ['./javascript-hashes.ts', 'javaScriptHashes'],
  ['./deflate.ts', 'deflate'],
]);

/**
 * Leaves AES, digests and deflate in JavaScript out: the programs use Node's own (`useAes`, `useHashes`, `nodeCompression`), and to load
 * these takes a tenth of what most commands take.
 */
const withoutJavaScriptCodecs: Plugin = {
  name: 'without-javascript-codecs',
  enforce: 'pre',
  resolveId: (id) => (FOR_PAGES.has(id) ? `\0${id}` : undefined),
  load(id) {
    const exported = FOR_PAGES.get(id.slice(1));
    if (!id.startsWith('\0') || exported === undefined) return undefined;
    return `export const ${exported} = undefined;`;
  },
};

/** Writes characters that are none of ASCII as escapes: with a single one, all of a file takes two bytes a character in memory. */
const ascii: Plugin = {
  name: 'ascii',
  generateBundle(_, bundle) {
    for (const output of Object.values(bundle)) {
      if (output.type !== 'chunk') continue;
      output.code = output.code.replaceAll(
        /[\u0080-\uffff]/g,
        (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
      );
    }
  },
};

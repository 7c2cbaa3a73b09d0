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
      plugins: [withoutNobleAes, ascii],
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

const NOBLE_AES = '@noble/ciphers/aes.js';

/**
 * Leaves AES in JavaScript out: the programs use Node's own (`useAes`), and noble's makes tables when it is loaded, which takes a tenth
 * of what most commands take.
 */
const withoutNobleAes: Plugin = {
  name: 'without-noble-aes',
  enforce: 'pre',
  resolveId: (id) => (id === NOBLE_AES ? `\0${NOBLE_AES}` : undefined),
  load: (id) =>
    id === `\0${NOBLE_AES}`
      ? "export const ecb = () => { throw new Error('AES in JavaScript is not in this program: it uses that of Node'); };"
      : undefined,
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

// The programs of the command line: one file each, for they are to start quickly.
import { chmodSync, globSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'vite';
import { root } from '../run.ts';

/** Bundles src/cli/spindle-*.ts into a folder, which must be in the project: what is not bundled is looked for from there. */
export async function buildPrograms(outDir: string = join(root, 'dist/cli')): Promise<void> {
  rmSync(outDir, { recursive: true, force: true });
  for (const program of globSync('src/cli/spindle-*.ts', { cwd: root })) {
    await build({
      configFile: false,
      root,
      logLevel: 'warn',
      publicDir: false,
      ssr: { noExternal: true },
      build: {
        ssr: join(root, program),
        outDir,
        emptyOutDir: false,
        target: 'node20',
        minify: 'oxc',
        rolldownOptions: { output: { entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' } },
      },
    });
    chmodSync(join(outDir, `${basename(program, '.ts')}.js`), 0o755);
  }
}

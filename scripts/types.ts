// `npm run types`: the whole project once, then each part of src/ with only the environment that it really has.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

const parts = ['core', 'worker', 'page', 'node'];
let failed = 0;

/** A part whose folders hold no source yet would be tsc's error TS18003. */
function hasSources(config: string): boolean {
  const text = readFileSync(config, 'utf8').replace(/^\s*\/\/.*$/gm, '');
  const { include = [] } = JSON.parse(text) as { include?: string[] };
  return include.some((folder) => existsSync(folder) && globSync(`${folder}/**/*.ts`).length > 0);
}

for (const config of ['tsconfig.json', ...parts.map((part) => `tsconfig.${part}.json`)]) {
  if (!hasSources(config)) continue;
  const run = spawnSync('tsc', ['-p', config, '--noEmit', '--pretty', 'false'], { stdio: 'inherit' });
  console.log(`${config}: ${run.status === 0 ? 'ok' : 'FAILED'}`);
  if (run.status !== 0) failed += 1;
}
process.exitCode = failed === 0 ? 0 : 1;

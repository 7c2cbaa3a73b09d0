// `npm run types`: the whole project once, then each part of src/ with only the environment that it really has.
import { spawnSync } from 'node:child_process';
import { root } from './run.ts';

const parts = ['core', 'worker', 'client', 'ui', 'node'];

for (const config of ['tsconfig.json', ...parts.map((part) => `tsconfig.${part}.json`)]) {
  const { status } = spawnSync('tsc', ['-p', config, '--noEmit', '--pretty', 'false'], { cwd: root, stdio: 'inherit' });
  console.log(`${config}: ${status === 0 ? 'ok' : 'FAILED'}`);
  if (status !== 0) process.exitCode = 1;
}

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The project's root, with a slash at its end. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Runs a program in the project's root and shows its output as it comes.
 *
 * @throws Error naming the command if it cannot be started or ends with anything but 0.
 */
export function run(command: string, ...parameters: string[]): void {
  const { status, error } = spawnSync(command, parameters, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0)
    throw new Error(`${[command, ...parameters].join(' ')}: ${error?.message ?? `exit code ${status}`}`);
}

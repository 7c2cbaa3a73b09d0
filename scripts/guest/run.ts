import { spawnSync } from 'node:child_process';

/**
 * The guests cannot be built, for a reason outside this code: a missing package, no network, no rights. Its message is
 * a sentence for the person who started the build.
 */
export class GuestBuildError extends Error {
  override readonly name = 'GuestBuildError';
}

export interface RunOptions {
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** mke2fs, mkfs.vfat and debugfs live where a user's PATH does not look. */
const searchPath = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`;

const outputLimit = 256 * 1024 * 1024;

/**
 * Runs a program to its end and returns what it wrote to its standard output.
 * @throws GuestBuildError when it is not there, or ends with another status than 0; with the end of its error output.
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): string {
  const result = spawnSync(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env, PATH: searchPath, LC_ALL: 'C', TZ: 'UTC' },
    encoding: 'utf8',
    maxBuffer: outputLimit,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (result.error)
    throw new GuestBuildError(`Cannot run ${command}: ${result.error.message}`, { cause: result.error });
  if (result.status !== 0) {
    const said = (result.stderr.trim() || result.stdout.trim()).slice(-1500);
    const end = result.signal === null ? `ended with status ${result.status}` : `was stopped by ${result.signal}`;
    throw new GuestBuildError(`${command} ${args.join(' ')} ${end}: ${said}`);
  }
  return result.stdout;
}

/**
 * What a program wrote to its standard output, whatever its status; undefined when it cannot be started. For questions
 * whose answer may be no.
 */
export function ask(command: string, args: readonly string[]): string | undefined {
  const result = spawnSync(command, args, {
    env: { ...process.env, PATH: searchPath, LC_ALL: 'C' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return result.error ? undefined : result.stdout;
}

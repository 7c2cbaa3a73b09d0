import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../run.ts';
import { summaryVariable, takeSummary, type Summary } from './summary.ts';

/** One part of a test run: commands that pass or fail as a whole, or one test runner that counts. */
export interface Section {
  readonly title: string;
  readonly commands: readonly (readonly string[])[];
  /** Whether the (one) command is a test runner that leaves a summary. */
  readonly counts: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  /** Why the section cannot run here. */
  readonly missing?: string | undefined;
}

function runCommand(command: readonly string[], environment: NodeJS.ProcessEnv): boolean {
  const [program, ...parameters] = command;
  const { status, error } = spawnSync(program!, parameters, {
    cwd: root,
    env: environment,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (error !== undefined) console.error(`${program}: ${error.message}`);
  return status === 0;
}

/** Runs a section under its heading and returns what it counted. */
export function runSection(section: Section): Summary {
  console.log(`\n══ ${section.title} ${'═'.repeat(Math.max(3, 72 - section.title.length))}`);
  if (section.missing !== undefined) return { passed: 0, failed: 0, skipped: [`${section.title}: ${section.missing}`] };
  const started = performance.now();
  const file = join(tmpdir(), `spindle-summary-${process.pid}.json`);
  const environment = { ...process.env, ...section.environment, [summaryVariable]: file };
  const results = section.commands.map((command) => runCommand(command, environment));
  const failures = results.filter((passed) => !passed).length;
  const counted = section.counts
    ? takeSummary(file)
    : { passed: results.length - failures, failed: failures, skipped: [] };
  // A runner can fail although no test did: it says so by its exit code alone.
  const failed = failures > 0 && counted.failed === 0 ? 1 : counted.failed;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `── ${section.title}: ${counted.passed} passed, ${failed} failed, ${counted.skipped.length} skipped (${seconds} s)`,
  );
  return { ...counted, failed };
}

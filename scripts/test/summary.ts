import { readFileSync, rmSync, writeFileSync } from 'node:fs';

/** What a test runner's reporter leaves behind for the closing line. */
export interface Summary {
  passed: number;
  failed: number;
  /** One line for each test that was skipped: its name and the reason. */
  skipped: string[];
}

/** Where the reporter of a run writes its summary, an environment variable. */
export const summaryVariable = 'SPINDLE_TEST_SUMMARY';

/** Writes the summary, if somebody asked for it. */
export function writeSummary(summary: Summary): void {
  const file = process.env[summaryVariable];
  if (file !== undefined) writeFileSync(file, JSON.stringify(summary));
}

/** Reads and removes a summary; a run that left none, because it broke, counts as one failure. */
export function takeSummary(file: string): Summary {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Summary;
  } catch {
    return { passed: 0, failed: 1, skipped: [] };
  } finally {
    rmSync(file, { force: true });
  }
}

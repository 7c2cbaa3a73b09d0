import type { Reporter, SerializedError, TestModule } from 'vitest/node';
import { writeSummary, type Summary } from './summary.ts';

/** Counts what vitest's tests did, with the reason of each skipped one. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const summary: Summary = { passed: 0, failed: errors.length, skipped: [] };
    for (const module of modules) {
      // A file that could not be loaded has errors and no tests.
      summary.failed += module.errors().length;
      for (const suite of module.children.allSuites()) summary.failed += suite.errors().length;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') summary.passed += 1;
        else if (result.state === 'failed') summary.failed += 1;
        else
          summary.skipped.push(
            `${test.fullName}: ${'note' in result && result.note ? result.note : 'no reason given'}`,
          );
      }
    }
    writeSummary(summary);
  }
}

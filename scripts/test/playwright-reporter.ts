import type { FullResult, Reporter, Suite } from '@playwright/test/reporter';
import { writeSummary, type Summary } from './summary.ts';

/** Counts what Playwright's tests did, with the reason of each skipped one. */
export default class SummaryReporter implements Reporter {
  #suite: Suite | undefined;
  #errors = 0;

  onBegin(_config: unknown, suite: Suite): void {
    this.#suite = suite;
  }

  onError(): void {
    this.#errors += 1;
  }

  onEnd({ status }: FullResult): void {
    const summary: Summary = { passed: 0, failed: this.#errors, skipped: [] };
    for (const test of this.#suite?.allTests() ?? []) {
      const outcome = test.outcome();
      if (outcome === 'expected') summary.passed += 1;
      else if (outcome !== 'skipped') summary.failed += 1;
      else {
        const reason = test.annotations.find(({ type }) => type === 'skip' || type === 'fixme')?.description;
        summary.skipped.push(
          `${test.title}: ${reason ?? (status === 'passed' ? 'no reason given' : 'the run ended early')}`,
        );
      }
    }
    writeSummary(summary);
  }

  printsToStdio(): boolean {
    return false;
  }
}

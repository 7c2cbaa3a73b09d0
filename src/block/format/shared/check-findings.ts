/** What a check has found so far: complete counts, and the first findings in words. */
import type { CheckFinding, CheckFix, CheckResult } from '../../driver.ts';

const MAX_FINDINGS = 1000;

/** What a check says beside what it found. What a format does not count is 0. */
export type CheckFacts = Partial<
  Pick<
    CheckResult,
    'imageEndOffset' | 'totalClusters' | 'allocatedClusters' | 'fragmentedClusters' | 'compressedClusters'
  >
>;

export class CheckFindings {
  readonly fix: CheckFix;
  readonly list: CheckFinding[] = [];
  corruptions = 0;
  leaks = 0;
  errors = 0;
  corruptionsFixed = 0;
  leaksFixed = 0;

  constructor(fix: CheckFix) {
    this.fix = fix;
  }

  /** Whether everything found so far is mended. */
  get clean(): boolean {
    return this.corruptions === 0 && this.leaks === 0 && this.errors === 0;
  }

  /** Nobody will read the words of a further finding: only its count matters. */
  get full(): boolean {
    return this.list.length >= MAX_FINDINGS;
  }

  /**
   * @param message or what makes it: where there may be as many as entries in a table, only the first ones are made
   * @param times how many findings of qemu-img's it stands for: one table that two entries refer to is looked at once
   */
  corruption(message: string | (() => string), hostOffset?: number, times = 1): void {
    this.corruptions += times;
    if (this.full) return;
    this.#keep('corruption', typeof message === 'string' ? message : message(), false, hostOffset);
  }

  leak(message: string, hostOffset?: number, times = 1): void {
    this.leaks += times;
    this.#keep('leak', message, false, hostOffset);
  }

  /** Something could not be looked at. */
  error(message: string, hostOffset?: number, times = 1): void {
    this.errors += times;
    this.#keep('error', message, false, hostOffset);
  }

  fixed(kind: 'corruption' | 'leak', message: string, hostOffset?: number, times = 1): void {
    if (kind === 'leak') this.leaksFixed += times;
    else this.corruptionsFixed += times;
    this.#keep(kind, message, true, hostOffset);
  }

  /** Adds what another part of the check has found. */
  take(other: CheckFindings): void {
    this.corruptions += other.corruptions;
    this.leaks += other.leaks;
    this.errors += other.errors;
    this.corruptionsFixed += other.corruptionsFixed;
    this.leaksFixed += other.leaksFixed;
    for (const { kind, message, fixed, hostOffset } of other.list) this.#keep(kind, message, fixed, hostOffset);
  }

  /** Adds what another part of the check wanted to mend, and could not. */
  takeUnmended(other: CheckFindings): void {
    this.corruptions += other.corruptionsFixed;
    for (const { kind, message, hostOffset } of other.list) {
      this.#keep(kind, message.replace(/^Repairing/, 'ERROR'), false, hostOffset);
    }
  }

  /** Adds what was found before a repair, of which only what was found after it again is left. */
  takeMended(before: CheckFindings, after: CheckFindings): void {
    this.corruptionsFixed += Math.max(0, before.corruptions - after.corruptions);
    this.leaksFixed += Math.max(0, before.leaks - after.leaks);
    const left = new Set(after.list.map(({ message }) => message));
    for (const { kind, message, hostOffset } of before.list) {
      if (!left.has(message)) this.#keep(kind, message, true, hostOffset);
    }
    this.take(after);
  }

  result(facts: CheckFacts = {}): CheckResult {
    return {
      corruptions: this.corruptions,
      leaks: this.leaks,
      checkErrors: this.errors,
      corruptionsFixed: this.corruptionsFixed,
      leaksFixed: this.leaksFixed,
      imageEndOffset: 0,
      totalClusters: 0,
      allocatedClusters: 0,
      fragmentedClusters: 0,
      compressedClusters: 0,
      ...facts,
      findings: this.list,
    };
  }

  #keep(kind: CheckFinding['kind'], message: string, fixed: boolean, hostOffset: number | undefined): void {
    if (this.full) return;
    this.list.push(hostOffset === undefined ? { kind, message, fixed } : { kind, message, fixed, hostOffset });
  }
}

/**
 * Clusters whose last use was taken away in memory only. Until the tables on stable storage agree they must not be used for
 * anything else: after a power cut the old mapping would show what was written there meanwhile.
 */

export interface FreedRun {
  /** Cluster number. */
  readonly first: number;
  readonly count: number;
  /** Whether the file below may be told that the space is no longer needed. */
  readonly discard: boolean;
}

/** So many runs may wait before they are worked off by a flush. */
export const MAX_PENDING_FREES = 8192;

export class PendingFrees {
  #runs: FreedRun[] = [];

  get size(): number {
    return this.#runs.length;
  }

  get full(): boolean {
    return this.#runs.length >= MAX_PENDING_FREES;
  }

  /** Takes one reference away from each cluster of a run, later. */
  add(first: number, count: number, discard: boolean): void {
    const last = this.#runs.at(-1);
    if (last !== undefined && last.first + last.count === first && last.discard === discard) {
      this.#runs[this.#runs.length - 1] = { first: last.first, count: last.count + count, discard };
    } else {
      this.#runs.push({ first, count, discard });
    }
  }

  /** All that waits, now the caller's to work off. */
  take(): FreedRun[] {
    const runs = this.#runs;
    this.#runs = [];
    return runs;
  }
}

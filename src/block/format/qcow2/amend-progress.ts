/** The progress of several jobs after one another, as one. */
import type { Progress } from '../../driver.ts';

/** Parts of a stage: what each job has to do is not known beforehand. */
const PARTS = 1000;

export class StagedProgress {
  readonly #progress: Progress | undefined;
  readonly #stages: number;
  #begun = 0;

  constructor(progress: Progress | undefined, stages: number) {
    this.#progress = progress;
    this.#stages = stages;
  }

  /** The progress of the next job. */
  stage(): Progress {
    const first = this.#begun++ * PARTS;
    return {
      report: (done, total) => {
        const part = total === 0 ? PARTS : Math.floor((done / total) * PARTS);
        this.#progress?.report(first + part, this.#stages * PARTS);
      },
    };
  }

  done(): void {
    const total = Math.max(1, this.#stages) * PARTS;
    this.#progress?.report(total, total);
  }
}

/** One line of the result table. */
export interface BenchRow {
  readonly bench: string;
  readonly name: string;
  /** The best and the median round, in `unit`. */
  readonly best: number;
  readonly median: number;
  readonly unit: string;
  /** Bytes per second of the best round, in MB/s; for work that moves bytes. */
  readonly megabytesPerSecond?: number;
}

/** What a `bench/*.bench.ts` module exports: `name` and `run`. */
export interface BenchModule {
  readonly name: string;
  run(bench: Bench): Promise<void> | void;
}

export interface MeasureOptions {
  /** How often the work is done in one round; the result is the time of one. */
  readonly times: number;
  /** Bytes that the work moves each time. */
  readonly bytes?: number;
  readonly rounds?: number;
}

/** Collects the measurements of one module. */
export class Bench {
  readonly rows: BenchRow[] = [];
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  /**
   * Measures a piece of work in microseconds: one unmeasured round, then `rounds` measured ones (default 5).
   *
   * @param work one unit of the work; it gets the number of the repetition in its round. A promise is awaited only if it
   *   returns one, so that synchronous work is measured without the cost of waiting.
   */
  async measure(name: string, options: MeasureOptions, work: (index: number) => unknown): Promise<void> {
    const { times, bytes, rounds = 5 } = options;
    const results: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const started = performance.now();
      for (let index = 0; index < times; index++) {
        const pending = work(index);
        if (pending instanceof Promise) await pending;
      }
      if (round > 0) results.push(((performance.now() - started) * 1000) / times);
    }
    this.add(name, results, 'us', bytes);
  }

  /** Adds a line from measurements made elsewhere. `bytes` are those of one measurement; its unit must then be 'us'. */
  add(name: string, results: readonly number[], unit: string, bytes?: number): void {
    const sorted = results.toSorted((a, b) => a - b);
    const best = sorted[0];
    const median = sorted[Math.floor(sorted.length / 2)];
    if (best === undefined || median === undefined) throw new Error(`${this.#name}: ${name} has no measurement`);
    const speed = bytes === undefined ? {} : { megabytesPerSecond: bytes / best };
    this.rows.push({ bench: this.#name, name, best, median, unit, ...speed });
  }
}

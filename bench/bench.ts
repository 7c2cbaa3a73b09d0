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

/** What a ratio must be. `aim` is what we would like; `atLeast` and `atMost` are what `--check` holds us to. */
export type Wanted =
  | { readonly atLeast: number; readonly aim?: number }
  | { readonly atMost: number; readonly aim?: number };

/**
 * One comparison of two measurements that were taken in turns. With `atLeast` the ratio is limit / ours (1: as fast as the
 * limit), with `atMost` it is ours / limit (1: it costs no more).
 */
export interface RatioRow {
  readonly bench: string;
  readonly name: string;
  /** Medians, in `unit`. */
  readonly limit: number;
  readonly ours: number;
  readonly unit: string;
  /** The median of the ratios of the rounds: a disturbance hits both sides of a round, or is one round of many. */
  readonly ratio: number;
  /** Of the best rounds. */
  readonly bestRatio: number;
  readonly wanted: Wanted;
  readonly met: boolean;
  /** What the processor worked on each side, medians, in `unit`: on a busy machine it says more than the time that passed. */
  readonly processor?: { readonly limit: number; readonly ours: number };
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

/** The rounds of both sides of a comparison, in the order in which they were measured. */
export interface Comparison {
  readonly limit: readonly number[];
  readonly ours: readonly number[];
  /** Default: 'us'. */
  readonly unit?: string;
  readonly wanted: Wanted;
  /** Time of the processor, round by round, where it was measured. Nothing is asked of it. */
  readonly processor?: { readonly limit: readonly number[]; readonly ours: readonly number[] } | undefined;
}

/** Collects the measurements of one module. */
export class Bench {
  readonly rows: BenchRow[] = [];
  readonly ratios: RatioRow[] = [];
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
    const best = Math.min(...results);
    const speed = bytes === undefined ? {} : { megabytesPerSecond: bytes / best };
    this.rows.push({ bench: this.#name, name, best, median: this.#median(name, results), unit, ...speed });
  }

  /** Adds a comparison. Round n of one side was measured right before or after round n of the other. */
  compare(name: string, { limit, ours, unit = 'us', wanted, processor }: Comparison): void {
    if (limit.length !== ours.length) throw new Error(`${this.#name}: ${name} has rounds without a counterpart`);
    const quotient = (limitTime: number, ourTime: number): number =>
      'atLeast' in wanted ? limitTime / ourTime : ourTime / limitTime;
    const ratio = this.#median(
      name,
      limit.map((time, round) => quotient(time, ours[round]!)),
    );
    this.ratios.push({
      bench: this.#name,
      name,
      limit: this.#median(name, limit),
      ours: this.#median(name, ours),
      unit,
      ratio,
      bestRatio: quotient(Math.min(...limit), Math.min(...ours)),
      wanted,
      met: 'atLeast' in wanted ? ratio >= wanted.atLeast : ratio <= wanted.atMost,
      ...(processor === undefined
        ? {}
        : { processor: { limit: this.#median(name, processor.limit), ours: this.#median(name, processor.ours) } }),
    });
  }

  #median(name: string, results: readonly number[]): number {
    const sorted = results.toSorted((a, b) => a - b);
    const upper = sorted[Math.floor(sorted.length / 2)];
    const lower = sorted[Math.ceil(sorted.length / 2) - 1];
    if (upper === undefined || lower === undefined) throw new Error(`${this.#name}: ${name} has no measurement`);
    return (lower + upper) / 2;
  }
}

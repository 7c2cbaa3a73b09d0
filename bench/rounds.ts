/** Measuring two sides of a comparison in turns, in Node and in the browser alike. */

/** One side: a piece of work that is done `times` times in a round. */
export interface Side {
  readonly times: number;
  /** Gets the number of the repetition, counted over all rounds, so that rounds do not all touch the same places. */
  run(index: number): void;
}

export interface AsyncSide {
  readonly times: number;
  run(index: number): Promise<unknown>;
}

/** Microseconds of one piece of work, round by round, of both sides. */
export interface PairedTimes {
  readonly limit: number[];
  readonly ours: number[];
}

/** Rounds that are run and not measured: the compiler looks on. */
const WARM_UP_ROUNDS = 50;

/**
 * Measures both sides in turns; which goes first changes from round to round. Many rounds of half a millisecond are better than few long
 * ones: most of them pass between two disturbances of a busy machine.
 */
export function pairedRounds(rounds: number, limit: Side, ours: Side): PairedTimes {
  const times: PairedTimes = { limit: [], ours: [] };
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    const order = round % 2 === 0 ? (['limit', 'ours'] as const) : (['ours', 'limit'] as const);
    for (const name of order) {
      const time = timeOf(name === 'limit' ? limit : ours, round + WARM_UP_ROUNDS);
      if (round >= 0) times[name].push(time);
    }
  }
  return times;
}

/** Of a comparison: what round n of each side came to. */
export interface Turns<T> {
  readonly limit: T[];
  readonly ours: T[];
}

/**
 * Runs both sides in turns, after a round of each that is not counted (-1). Which goes first changes from round to round: what the
 * first one leaves in the caches, or to be written to the disk, is not always the same side's gain or loss.
 */
export async function inTurns<T>(
  rounds: number,
  sides: { limit(round: number): Promise<T>; ours(round: number): Promise<T> },
): Promise<Turns<T>> {
  const results: Turns<T> = { limit: [], ours: [] };
  for (let round = -1; round < rounds; round++) {
    const order = round % 2 === 0 ? (['limit', 'ours'] as const) : (['ours', 'limit'] as const);
    for (const side of order) {
      const result = await sides[side](round);
      if (round >= 0) results[side].push(result);
    }
  }
  return results;
}

/** Measures one side alone. */
export function singleRounds(rounds: number, side: Side): number[] {
  const times: number[] = [];
  for (let round = 0; round < rounds + WARM_UP_ROUNDS; round++) {
    const time = timeOf(side, round);
    if (round >= WARM_UP_ROUNDS) times.push(time);
  }
  return times;
}

export async function pairedRoundsAsync(rounds: number, limit: AsyncSide, ours: AsyncSide): Promise<PairedTimes> {
  const times: PairedTimes = { limit: [], ours: [] };
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    const order = round % 2 === 0 ? (['limit', 'ours'] as const) : (['ours', 'limit'] as const);
    for (const name of order) {
      const time = await timeOfAsync(name === 'limit' ? limit : ours, round + WARM_UP_ROUNDS);
      if (round >= 0) times[name].push(time);
    }
  }
  return times;
}

function timeOf(side: Side, round: number): number {
  const first = round * side.times;
  const started = performance.now();
  for (let index = first; index < first + side.times; index++) side.run(index);
  return ((performance.now() - started) * 1000) / side.times;
}

async function timeOfAsync(side: AsyncSide, round: number): Promise<number> {
  const first = round * side.times;
  const started = performance.now();
  for (let index = first; index < first + side.times; index++) await side.run(index);
  return ((performance.now() - started) * 1000) / side.times;
}

/** Random offsets of requests of `length` bytes, aligned to them, in `size` bytes. A power of two of them: index with `& (n - 1)`. */
export function randomOffsets(size: number, length: number, seed = 1): Float64Array {
  const offsets = new Float64Array(65_536);
  const places = Math.floor(size / length);
  let state = seed;
  for (let index = 0; index < offsets.length; index++) {
    // A linear congruential generator (the constants of Numerical Recipes); its upper bits choose.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    offsets[index] = Math.floor((state / 2 ** 32) * places) * length;
  }
  return offsets;
}

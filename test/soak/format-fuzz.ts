/** Hostile images of every format but qcow2: some of one format a seed. */
import { runFormatFuzz } from '../fuzz/format-fuzz.ts';
import { fuzzedFormats } from '../support/fuzzed-formats.ts';
import { Random } from '../support/random.ts';
import type { SoakCounts } from '../support/soak.ts';

export const name = 'format-fuzz';

const CASES_PER_SEED = 200;

export async function run(seed: number): Promise<SoakCounts> {
  const format = new Random(seed).fork().pick(fuzzedFormats);
  const counts = await runFormatFuzz(format, seed, CASES_PER_SEED);
  return Object.fromEntries(
    Object.entries(counts).map(([key, count]) => [`${format.name ?? format.driver.name} ${key}`, count]),
  );
}

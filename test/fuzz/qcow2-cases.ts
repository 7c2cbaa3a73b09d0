/** The long tier of the qcow2 fuzzer, shared out among two files (and cores). */
import { expect, it } from 'vitest';
import { PARTS, QCOW2_CASES } from './case-counts.ts';
import { CASES_PER_SEED, runFuzz } from './qcow2-fuzz.ts';

const FIRST_SEED = 10_000;
const SEEDS_PER_BATCH = 250;
const BATCHES = QCOW2_CASES / PARTS / CASES_PER_SEED / SEEDS_PER_BATCH;

/** Declares the tests of a part of the seeds. */
export function describeQcow2Fuzz(part: 0 | 1): void {
  const first = FIRST_SEED + part * BATCHES * SEEDS_PER_BATCH;
  it.each(Array.from({ length: BATCHES }, (_, batch) => first + batch * SEEDS_PER_BATCH))(
    'hostile qcow2 images end in BlockErrors: seeds from %i',
    async (begin) => {
      for (let seed = begin; seed < begin + SEEDS_PER_BATCH; seed++) {
        expect((await runFuzz(seed))['images']).toBe(CASES_PER_SEED);
      }
    },
  );
}

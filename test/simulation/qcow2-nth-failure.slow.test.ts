import { expect, it } from 'vitest';
import { qcow2SubjectFor } from '../support/qcow2-everything.ts';
import { runNthFailures } from './nth-failures.ts';

const FIRST_SEED = 10_000;
const BATCHES = 5;
const SEEDS_PER_BATCH = 30;

it.each(Array.from({ length: BATCHES }, (_, batch) => FIRST_SEED + batch * SEEDS_PER_BATCH))(
  'failing requests are reported, lose nothing flushed and corrupt nothing: seeds from %i',
  async (first) => {
    for (let seed = first; seed < first + SEEDS_PER_BATCH; seed++) {
      expect((await runNthFailures(qcow2SubjectFor(seed), seed))['runs']).toBeGreaterThan(0);
    }
  },
);

import { expect, it } from 'vitest';
import { qcow2SubjectFor } from '../support/qcow2-everything.ts';
import { runModel } from './model.ts';

const FIRST_SEED = 10_000;
const BATCHES = 20;
const SEEDS_PER_BATCH = 100;

it.each(Array.from({ length: BATCHES }, (_, batch) => FIRST_SEED + batch * SEEDS_PER_BATCH))(
  'qcow2 disks hold what was written to them: seeds from %i',
  async (first) => {
    for (let seed = first; seed < first + SEEDS_PER_BATCH; seed++) {
      expect((await runModel(qcow2SubjectFor(seed), seed))['operations']).toBeGreaterThan(0);
    }
  },
);

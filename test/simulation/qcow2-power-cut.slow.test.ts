import { expect, it } from 'vitest';
import { qcow2SubjectFor } from '../support/qcow2-everything.ts';
import { runPowerCuts } from './power-cuts.ts';

const FIRST_SEED = 10_000;
const BATCHES = 5;
const SEEDS_PER_BATCH = 30;

it.each(Array.from({ length: BATCHES }, (_, batch) => FIRST_SEED + batch * SEEDS_PER_BATCH))(
  'power cuts lose nothing flushed and corrupt nothing: seeds from %i',
  async (first) => {
    for (let seed = first; seed < first + SEEDS_PER_BATCH; seed++) {
      expect((await runPowerCuts(qcow2SubjectFor(seed), seed))['cuts']).toBeGreaterThan(0);
    }
  },
);

import { expect, it } from 'vitest';
import { runFuzz } from './qcow2-fuzz.ts';

// Half of the 100,000 cases; the other half is in `qcow2-fuzz.slow.test.ts`, so that two cores share them.
const FIRST_SEED = 20_000;
const BATCHES = 10;
const SEEDS_PER_BATCH = 250;

it.each(Array.from({ length: BATCHES }, (_, batch) => FIRST_SEED + batch * SEEDS_PER_BATCH))(
  'hostile qcow2 images end in BlockErrors: seeds from %i',
  async (first) => {
    for (let seed = first; seed < first + SEEDS_PER_BATCH; seed++) {
      expect((await runFuzz(seed))['images']).toBe(20);
    }
  },
);

import { expect, it } from 'vitest';
import { runFuzz } from './qcow2-fuzz.ts';

const FIRST_SEED = 10_000;
const BATCHES = 6;
const SEEDS_PER_BATCH = 50;

it.each(Array.from({ length: BATCHES }, (_, batch) => FIRST_SEED + batch * SEEDS_PER_BATCH))(
  'hostile qcow2 images end in BlockErrors: seeds from %i',
  async (first) => {
    for (let seed = first; seed < first + SEEDS_PER_BATCH; seed++) {
      expect((await runFuzz(seed))['images']).toBe(20);
    }
  },
);

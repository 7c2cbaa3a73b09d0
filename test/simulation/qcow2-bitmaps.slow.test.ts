import { expect, it } from 'vitest';
import { run } from '../soak/qcow2-bitmaps.ts';

const FIRST_SEED = 30_000;
const BATCHES = 5;
const SEEDS_PER_BATCH = 30;

it.each(Array.from({ length: BATCHES }, (_, batch) => FIRST_SEED + batch * SEEDS_PER_BATCH))(
  'bitmaps miss nothing, and amended images hold what was written to them: seeds from %i',
  async (first) => {
    for (let seed = first; seed < first + SEEDS_PER_BATCH; seed++) {
      expect(Object.values(await run(seed)).some((count) => count > 0)).toBe(true);
    }
  },
);

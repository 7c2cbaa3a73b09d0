import { expect, test } from 'vitest';
import { runStoreModel } from '../../support/store-model.ts';

test('the store against a flat array, two thousand seeds', async () => {
  const firstSeed = Number(process.env['SPINDLE_SEED'] ?? 1000);
  for (let seed = firstSeed; seed < firstSeed + 2000; seed += 1) await runStoreModel(seed);
  expect.assertions(2000);
});

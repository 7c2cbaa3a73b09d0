import { expect, it } from 'vitest';
import { runModel } from './qcow2-model.ts';

it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])('a qcow2 disk holds what was written to it: seed %i', async (seed) => {
  expect((await runModel(seed))['operations']).toBeGreaterThan(50);
});

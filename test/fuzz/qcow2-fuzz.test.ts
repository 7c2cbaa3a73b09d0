import { expect, it } from 'vitest';
import { runFuzz } from './qcow2-fuzz.ts';

it.each([1, 2, 3, 4, 5, 6, 7, 8])('hostile qcow2 images end in BlockErrors: seed %i', async (seed) => {
  const counts = await runFuzz(seed);
  // Neither all refused at the door nor all harmless.
  expect(counts['opened']).toBeGreaterThan(0);
  expect(counts['opened']).toBeLessThan(20);
});

// Soaks found these. Both images were cut off, and a repair made the file longer over what had been there.
it.each([1795476907, 1221738567])('what a repair leaves, another one does not mend: seed %i', async (seed) => {
  expect(await runFuzz(seed)).toMatchObject({ images: 20 });
});

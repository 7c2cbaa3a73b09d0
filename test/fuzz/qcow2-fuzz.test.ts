import { expect, it } from 'vitest';
import { fixtures } from './fixtures.ts';
import { runFixture, runFuzz } from './qcow2-fuzz.ts';

it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])('hostile qcow2 images end in BlockErrors: seed %i', async (seed) => {
  const counts = await runFuzz(seed);
  // Neither all refused at the door nor all harmless.
  expect(counts['opened']).toBeGreaterThan(0);
  expect(counts['opened']).toBeLessThan(20);
});

it.each(Object.entries(fixtures))('what fuzzing found once stays mended: %s', async (_name, fixture) => {
  await expect(runFixture(fixture)).resolves.toBeDefined();
});

import { expect, it } from 'vitest';
import { everythingSubject } from '../support/qcow2-everything.ts';
import {
  compressedSubject,
  dataFileSubject,
  emptiedSubject,
  extendedL2Subject,
  qcow2Subject,
  snapshotSubject,
} from '../support/qcow2-scenario.ts';
import { runNthFailures } from './nth-failures.ts';

// The last one: a soak showed that the model took a read beside a failing write for proof that it had not happened.
it.each([1, 2, 3, 4, 5, 6, 7, 8, 1321738368])(
  'the n-th request that fails is reported, loses nothing flushed and corrupts nothing: seed %i',
  async (seed) => {
    expect((await runNthFailures(qcow2Subject, seed))['runs']).toBeGreaterThan(10);
  },
);

it.each([1, 2, 3])('the same with subclusters: seed %i', async (seed) => {
  expect((await runNthFailures(extendedL2Subject, seed))['runs']).toBeGreaterThan(10);
});

it.each([1, 2, 3, 4])('the same with snapshots: seed %i', async (seed) => {
  expect((await runNthFailures(snapshotSubject, seed))['runs']).toBeGreaterThan(10);
});

it.each([1, 2, 3])('the same with an external data file: seed %i', async (seed) => {
  expect((await runNthFailures(dataFileSubject, seed))['runs']).toBeGreaterThan(10);
});

it.each([1, 2, 3, 4])('the same with compressed writes: seed %i', async (seed) => {
  expect((await runNthFailures(compressedSubject, seed))['runs']).toBeGreaterThan(10);
});

it.each([1, 2, 3])('the same, emptied: seed %i', async (seed) => {
  expect((await runNthFailures(emptiedSubject, seed))['runs']).toBeGreaterThan(10);
});

it('is noticed when a storage answers and does nothing', async () => {
  await expect(runNthFailures(qcow2Subject, 2, 'lost')).rejects.toThrow(/failed with lost/);
});

it.each([2, 27])('the same with everything at once: seed %i', async (seed) => {
  expect((await runNthFailures(everythingSubject, seed))['runs']).toBeGreaterThan(5);
});

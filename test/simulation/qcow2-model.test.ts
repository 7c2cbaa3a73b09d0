import { expect, it } from 'vitest';
import { everythingSubject } from '../support/qcow2-everything.ts';
import {
  compressedSubject,
  dataFileSubject,
  encryptedSubject,
  extendedL2Subject,
  qcow2Subject,
  snapshotSubject,
} from '../support/qcow2-scenario.ts';
import { runModel } from './model.ts';

it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])('a qcow2 disk holds what was written to it: seed %i', async (seed) => {
  expect((await runModel(qcow2Subject, seed))['operations']).toBeGreaterThan(50);
});

it.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'a qcow2 disk with subclusters holds what was written to it: seed %i',
  async (seed) => {
    expect((await runModel(extendedL2Subject, seed))['operations']).toBeGreaterThan(50);
  },
);

it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])(
  'a qcow2 disk with snapshots holds what was written to it: seed %i',
  async (seed) => {
    expect((await runModel(snapshotSubject, seed))['operations']).toBeGreaterThan(50);
  },
);

it.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'a qcow2 disk with a data file holds what was written to it: seed %i',
  async (seed) => {
    expect((await runModel(dataFileSubject, seed))['operations']).toBeGreaterThan(50);
  },
);

it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])(
  'a qcow2 disk with compressed writes holds what was written to it: seed %i',
  async (seed) => {
    expect((await runModel(compressedSubject, seed))['operations']).toBeGreaterThan(50);
  },
);

it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])(
  'an encrypted qcow2 disk holds what was written to it: seed %i',
  async (seed) => {
    expect((await runModel(encryptedSubject, seed))['operations']).toBeGreaterThan(50);
  },
);

it.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'a qcow2 disk with everything at once holds what was written to it: seed %i',
  async (seed) => {
    expect((await runModel(everythingSubject, seed))['operations']).toBeGreaterThan(50);
  },
);

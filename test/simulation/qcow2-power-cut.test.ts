import { describe, expect, it } from 'vitest';
import { everythingSubject } from '../support/qcow2-everything.ts';
import {
  compressedSubject,
  dataFileSubject,
  emptiedSubject,
  encryptedSubject,
  extendedL2Subject,
  oldSnapshotSubject,
  qcow2Subject,
  snapshotStepsSubject,
  snapshotSubject,
} from '../support/qcow2-scenario.ts';
import { runPowerCuts } from './power-cuts.ts';

describe('power cuts at every point of a workload on a qcow2 disk', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('lose nothing flushed and corrupt nothing: seed %i', async (seed) => {
    expect((await runPowerCuts(qcow2Subject, seed))['cuts']).toBeGreaterThan(20);
  });

  it.each([1, 2, 3, 4])('the same with subclusters: seed %i', async (seed) => {
    expect((await runPowerCuts(extendedL2Subject, seed))['cuts']).toBeGreaterThan(20);
  });

  it.each([1, 2, 3, 4, 5, 6])('the same with snapshots: seed %i', async (seed) => {
    expect((await runPowerCuts(snapshotSubject, seed, { stride: 2 }))['cuts']).toBeGreaterThan(20);
  });

  it.each([1, 2, 3])('the same with snapshots in version 2: seed %i', async (seed) => {
    expect((await runPowerCuts(oldSnapshotSubject, seed, { stride: 2 }))['cuts']).toBeGreaterThan(20);
  });

  it('the same with snapshots in version 2, made, applied and deleted in all places', async () => {
    expect((await runPowerCuts(snapshotStepsSubject, 1))['cuts']).toBeGreaterThan(400);
  });

  it.each([1, 2, 3, 4])('the same with an external data file: seed %i', async (seed) => {
    expect((await runPowerCuts(dataFileSubject, seed))['cuts']).toBeGreaterThan(20);
  });

  it.each([1, 2, 3, 4, 5, 6])('the same with compressed writes: seed %i', async (seed) => {
    expect((await runPowerCuts(compressedSubject, seed))['cuts']).toBeGreaterThan(20);
  });

  it.each([1, 2, 3, 4])('the same, emptied: seed %i', async (seed) => {
    expect((await runPowerCuts(emptiedSubject, seed, { stride: 2 }))['cuts']).toBeGreaterThan(20);
  });

  it.each([1, 2])('the same, encrypted: seed %i', async (seed) => {
    expect((await runPowerCuts(encryptedSubject, seed, { stride: 4 }))['cuts']).toBeGreaterThan(5);
  });

  it('are noticed when the storage answers flushes without doing them', async () => {
    await expect(runPowerCuts(qcow2Subject, 3, { storage: { ignoreFlushes: true }, shrinking: 0 })).rejects.toThrow(
      /power cut after event/,
    );
  });
});

// The last one: zeroes that a discard left in a data file showed as garbage of an encrypted disk.
it.each([1, 2, 3, 16])('power cuts of a disk with everything at once: seed %i', async (seed) => {
  expect((await runPowerCuts(everythingSubject, seed, { stride: 3 }))['cuts']).toBeGreaterThan(5);
});

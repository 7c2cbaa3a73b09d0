// Dirty bitmaps and amending through the model, power cuts and failing requests.
import { describe, expect, it } from 'vitest';
import { amendSubject, bitmapSubject, exactBitmapSubject } from '../support/qcow2-bitmap-subject.ts';
import { runModel } from './model.ts';
import { runNthFailures } from './nth-failures.ts';
import { runPowerCuts } from './power-cuts.ts';

describe.each([
  { name: 'qcow2 with bitmaps', model: exactBitmapSubject, subject: bitmapSubject },
  { name: 'qcow2, amended', model: amendSubject, subject: amendSubject },
])('$name', ({ model, subject }) => {
  it.each([1, 2, 3, 4, 5, 6])('holds what was written to it: seed %i', async (seed) => {
    expect((await runModel(model, seed))['operations']).toBeGreaterThan(50);
  });

  it.each([1, 2, 3])('loses nothing flushed when the power is cut: seed %i', async (seed) => {
    expect((await runPowerCuts(subject, seed, { stride: 3 }))['cuts']).toBeGreaterThan(20);
  });

  it.each([1, 2])('reports every request that fails, and loses nothing flushed: seed %i', async (seed) => {
    expect((await runNthFailures(subject, seed))['runs']).toBeGreaterThan(10);
  });
});

// Every writable format but qcow2 (which has files of its own) through the model, power cuts and failing requests: a few seeds each.
import { describe, expect, it } from 'vitest';
import { subjectOf, testedFormats } from '../support/tested-formats.ts';
import { runModel } from './model.ts';
import { runNthFailures } from './nth-failures.ts';
import { runPowerCuts } from './power-cuts.ts';

describe.each(testedFormats.map((format) => subjectOf(format)))('$name', (subject) => {
  it.each([1, 2, 3])('holds what was written to it: seed %i', async (seed) => {
    expect((await runModel(subject, seed))['operations']).toBeGreaterThan(50);
  });

  it.each([1, 2])('loses nothing flushed when the power is cut: seed %i', async (seed) => {
    expect((await runPowerCuts(subject, seed))['cuts']).toBeGreaterThan(0);
  });

  it.each([1])('reports every request that fails, and loses nothing flushed: seed %i', async (seed) => {
    expect((await runNthFailures(subject, seed))['runs']).toBeGreaterThan(4);
  });

  it('is seen to lose data over a storage that does not flush', async () => {
    const cuts = async (): Promise<void> => {
      for (let seed = 1; seed < 8; seed++)
        await runPowerCuts(subject, seed, { storage: { ignoreFlushes: true }, shrinking: 0 });
    };
    await expect(cuts()).rejects.toThrow();
  });
});

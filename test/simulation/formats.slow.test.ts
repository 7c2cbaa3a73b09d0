import { describe, expect, it } from 'vitest';
import { subjectOf, testedFormats } from '../support/tested-formats.ts';
import { runModel } from './model.ts';
import { runNthFailures } from './nth-failures.ts';
import { runPowerCuts } from './power-cuts.ts';

const FIRST_SEED = 20_000;
const seeds = (count: number): number[] => Array.from({ length: count }, (_, index) => FIRST_SEED + index);

describe.each(testedFormats.map((format) => subjectOf(format)))('$name', (subject) => {
  it('holds what was written to it', async () => {
    for (const seed of seeds(60)) expect((await runModel(subject, seed))['operations']).toBeGreaterThan(50);
  });

  it('loses nothing flushed when the power is cut', async () => {
    for (const seed of seeds(12)) expect((await runPowerCuts(subject, seed))['cuts']).toBeGreaterThan(0);
  });

  it('reports every request that fails, and loses nothing flushed', async () => {
    for (const seed of seeds(6)) expect((await runNthFailures(subject, seed))['runs']).toBeGreaterThan(4);
  });
});

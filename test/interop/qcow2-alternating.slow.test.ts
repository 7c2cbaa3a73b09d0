import { it } from 'vitest';
import { runAlternatingWriters } from '../support/alternating-writers.ts';
import { describeWithQemu } from '../support/qemu.ts';

const SEEDS = 15;

describeWithQemu('qcow2 images with all features', () => {
  it('two writers take turns, many seeds', async () => {
    for (let seed = 1000; seed < 1000 + SEEDS; seed++) await runAlternatingWriters(seed, { turns: 16, luks: true });
  });
});

import { it } from 'vitest';
import { runAlternatingWriters } from '../support/alternating-writers.ts';
import { describeWithQemu } from '../support/qemu.ts';

describeWithQemu('qcow2 images with all features', () => {
  it.each([1, 2, 3, 4])('two writers take turns: seed %i', async (seed) => {
    await runAlternatingWriters(seed, { turns: 8, luks: false });
  });
});

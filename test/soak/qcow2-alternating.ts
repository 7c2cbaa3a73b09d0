import { runAlternatingWriters } from '../support/alternating-writers.ts';
import type { SoakCounts } from '../support/soak.ts';

export const name = 'qcow2-alternating';

export const run = (seed: number): Promise<SoakCounts> => runAlternatingWriters(seed, { turns: 16, luks: false });

import { runPowerCuts } from '../simulation/power-cuts.ts';
import { qcow2SubjectFor } from '../support/qcow2-everything.ts';
import type { SoakCounts } from '../support/soak.ts';

export const name = 'qcow2-power-cut';

export const run = (seed: number): Promise<SoakCounts> => runPowerCuts(qcow2SubjectFor(seed), seed);

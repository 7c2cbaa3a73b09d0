import { runModel } from '../simulation/model.ts';
import { qcow2SubjectFor } from '../support/qcow2-everything.ts';
import type { SoakCounts } from '../support/soak.ts';

export const name = 'qcow2-model';

export const run = (seed: number): Promise<SoakCounts> => runModel(qcow2SubjectFor(seed), seed);

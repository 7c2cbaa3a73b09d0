import { runNthFailures } from '../simulation/nth-failures.ts';
import { qcow2SubjectFor } from '../support/qcow2-everything.ts';
import type { SoakCounts } from '../support/soak.ts';

export const name = 'qcow2-nth-failure';

export const run = (seed: number): Promise<SoakCounts> => runNthFailures(qcow2SubjectFor(seed), seed);

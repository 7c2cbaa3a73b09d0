/** qcow2 with dirty bitmaps, and amended: model, power cuts and failing requests, one of them a seed. */
import { runModel } from '../simulation/model.ts';
import { runNthFailures } from '../simulation/nth-failures.ts';
import { runPowerCuts } from '../simulation/power-cuts.ts';
import { amendSubject, bitmapSubject, exactBitmapSubject } from '../support/qcow2-bitmap-subject.ts';
import { Random } from '../support/random.ts';
import type { SoakCounts } from '../support/soak.ts';

export const name = 'qcow2-bitmaps';

export async function run(seed: number): Promise<SoakCounts> {
  const random = new Random(seed).fork();
  if (random.chance(0.3)) return runModel(random.pick([exactBitmapSubject, amendSubject]), seed);
  return random.pick([runPowerCuts, runNthFailures])(random.pick([bitmapSubject, amendSubject]), seed);
}

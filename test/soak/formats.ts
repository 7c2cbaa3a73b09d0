/** Every writable format but qcow2: model, power cuts and failing requests, one format and one suite a seed. */
import { runModel } from '../simulation/model.ts';
import { runNthFailures } from '../simulation/nth-failures.ts';
import { runPowerCuts } from '../simulation/power-cuts.ts';
import { Random } from '../support/random.ts';
import type { SoakCounts } from '../support/soak.ts';
import { subjectOf, testedFormats } from '../support/tested-formats.ts';

export const name = 'formats';

export async function run(seed: number): Promise<SoakCounts> {
  const random = new Random(seed).fork();
  const subject = subjectOf(random.pick(testedFormats));
  const suite = random.pick([runModel, runPowerCuts, runNthFailures]);
  const counts = await suite(subject, seed);
  return Object.fromEntries(Object.entries(counts).map(([key, count]) => [`${subject.name} ${key}`, count]));
}

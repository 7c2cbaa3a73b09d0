/** A disk against a flat array: random operations, every read compared, tables checked at the end. */
import { useAes } from '../../src/codec/aes.ts';
import { nodeAes } from '../../src/node/aes.ts';
import { runWorkload, verifiedRead } from '../support/guest-run.ts';
import { Random } from '../support/random.ts';
import { describeScenario, scenarioModel, type Scenario, type Subject } from '../support/scenario.ts';
import type { SoakCounts } from '../support/soak.ts';
import { type Operation, shrinkWorkload } from '../support/workload.ts';

// As its users have it in Node; the one in JavaScript has tests of its own, and takes many times as long.
useAes(nodeAes);

/** @returns the file as it is after the disk was closed */
async function runOnce(subject: Subject, scenario: Scenario, operations: readonly Operation[], seed: number) {
  const storage = await subject.storage(scenario, new Random(seed));
  const model = scenarioModel(scenario);
  const disk = await subject.open(scenario, storage);
  const after = await runWorkload(disk, model, operations, { together: scenario.together });
  await verifiedRead(after, model, 0, after.size);
  await after.close();
  const reopened = await subject.open(scenario, storage);
  await verifiedRead(reopened, model, 0, reopened.size);
  if (reopened.snapshots !== undefined) await model.snapshots.verify(reopened.snapshots);
  await reopened.close();
  await subject.expectSound(scenario, storage.content, 'after closing', 'forbidden');
  return storage.content;
}

/** @throws when the disk and the model differ, with the shortest list of operations that shows it */
export async function runModel(subject: Subject, seed: number): Promise<SoakCounts> {
  const random = new Random(seed);
  const large = random.chance(0.2);
  const scenario = subject.choose(random, {
    operations: 120,
    maxSize: large ? 4 * 2 ** 20 : 256 * 1024,
    maxClusterBits: large ? 16 : 13,
  });
  try {
    await runOnce(subject, scenario, scenario.operations, seed);
  } catch (error) {
    const fails = (operations: readonly Operation[]): Promise<boolean> =>
      runOnce(subject, scenario, operations, seed).then(
        () => false,
        () => true,
      );
    const shortest = await shrinkWorkload(scenario.operations, fails);
    throw new Error(`${subject.name} seed ${seed}: ${String(error)}\n${describeScenario(scenario, shortest)}`, {
      cause: error,
    });
  }
  return { operations: scenario.operations.length };
}

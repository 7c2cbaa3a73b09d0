/**
 * A guest works on a disk, and the n-th read, write, flush or change of length of its file fails, for every n. The error
 * comes out, nothing that was flushed is lost, and the image is sound when it is opened again.
 */
import { useAes } from '../../src/codec/aes.ts';
import { nodeAes } from '../../src/node/aes.ts';
import { BlockError } from '../../src/block/error.ts';
import type { DiskModel } from '../support/disk-model.ts';
import { FailingStorage, type FailureRule, type StorageVerb } from '../support/failing-storage.ts';
import { type GuestDisk, runWorkload, verifiedRead } from '../support/guest-run.ts';
import { Random } from '../support/random.ts';
import { describeScenario, scenarioModel, type Scenario, type Subject } from '../support/scenario.ts';
import type { SimulatedStorage } from '../support/simulated-storage.ts';
import type { SoakCounts } from '../support/soak.ts';
import { type Operation, shrinkWorkload } from '../support/workload.ts';

// As its users have it in Node; the one in JavaScript has tests of its own, and takes many times as long.
useAes(nodeAes);

const VERBS: readonly StorageVerb[] = ['read', 'write', 'flush', 'truncate'];

/** The error that a storage was made to give, or one that says that the disk was given up because of it. */
function isExpected(error: unknown): boolean {
  return error instanceof BlockError && error.kind !== 'internal';
}

function expectBlockError(error: unknown): void {
  if (!isExpected(error)) throw error;
}

/** @returns whether the rule's failure happened */
async function runOnce(
  subject: Subject,
  scenario: Scenario,
  operations: readonly Operation[],
  seed: number,
  rule: FailureRule,
): Promise<boolean> {
  const storage = await subject.storage(scenario, new Random(seed));
  const failing = new FailingStorage(storage, rule);
  const model = scenarioModel(scenario, () => storage.position);
  const disk = await subject.open(scenario, failing).catch(expectBlockError);
  const errors = disk === undefined ? [] : await work(scenario, disk, model, operations);
  if (failing.failures > 0 && disk !== undefined && errors.length === 0 && mustComeOut(rule)) {
    throw new Error('a request of the storage failed, and no error came out');
  }
  await lookAgain(subject, scenario, storage, model);
  return failing.failures > 0;
}

/** A read may be tried again by who needs it, and cutting the file after a disk was made smaller only saves space. */
function mustComeOut({ verbs, times, kind }: FailureRule): boolean {
  if (kind === 'lost') return false;
  return verbs.every((verb) => verb === 'write' || verb === 'flush' || (verb === 'read' && times > 1000));
}

/** Works on after errors, as a guest would. @returns the errors that came out */
async function work(
  scenario: Scenario,
  disk: GuestDisk,
  model: DiskModel,
  operations: readonly Operation[],
): Promise<unknown[]> {
  const errors: unknown[] = [];
  const onError = (error: unknown): void => {
    expectBlockError(error);
    errors.push(error);
  };
  const after = await runWorkload(disk, model, operations, { together: scenario.together, onError });
  await verifiedRead(after, model, 0, after.size).catch(onError);
  await after.close().catch(onError);
  return errors;
}

/** Opens the image without failures: what was flushed must be there, and the tables sound. */
async function lookAgain(
  subject: Subject,
  scenario: Scenario,
  storage: SimulatedStorage,
  model: DiskModel,
): Promise<void> {
  await subject.expectSound(scenario, storage.content, 'after the failure', 'allowed');
  const disk = await subject.open(scenario, storage);
  const content = new Uint8Array(disk.size);
  await disk.read(0, content);
  model.verifyAfterCut(storage.position, content);
  if (disk.snapshots !== undefined) await model.snapshots.verify(disk.snapshots);
  await disk.close();
  await subject.expectSound(scenario, storage.content, 'after it was opened and closed again', 'allowed');
}

/**
 * @param kind how requests fail; without it, in the ways that storage has
 * @throws when an error is swallowed, something flushed is lost, or an image becomes corrupt
 */
export async function runNthFailures(subject: Subject, seed: number, kind?: FailureRule['kind']): Promise<SoakCounts> {
  const random = new Random(seed);
  const scenario = subject.choose(random, { operations: 18, maxSize: 96 * 1024, maxClusterBits: 12 });
  let runs = 0;
  for (const verb of VERBS) {
    for (let nth = 1; ; nth += random.between(1, 3)) {
      const rule: FailureRule = {
        verbs: [verb],
        nth,
        times: random.pick([1, 1, 3, Number.POSITIVE_INFINITY]),
        kind: kind ?? (verb === 'write' && random.chance(0.5) ? 'no-space' : 'io'),
      };
      runs++;
      if (!(await runWithReport(subject, scenario, seed, rule))) break;
    }
  }
  return { runs };
}

async function runWithReport(subject: Subject, scenario: Scenario, seed: number, rule: FailureRule): Promise<boolean> {
  try {
    return await runOnce(subject, scenario, scenario.operations, seed, rule);
  } catch (error) {
    let last: unknown = error;
    const fails = async (operations: readonly Operation[]): Promise<boolean> => {
      try {
        await runOnce(subject, scenario, operations, seed, rule);
        return false;
      } catch (again) {
        last = again;
        return true;
      }
    };
    const shortest = await shrinkWorkload(scenario.operations, fails, 60);
    const how = `${rule.verbs.join()} ${rule.nth} failed with ${rule.kind}, ${rule.times} times`;
    throw new Error(`${subject.name} seed ${seed}, ${how}: ${String(last)}\n${describeScenario(scenario, shortest)}`, {
      cause: error,
    });
  }
}

/**
 * A guest works on a disk, and the power is cut at every point. Whatever of the unflushed writes reached the disk, the image
 * opens, its tables are sound, and what was flushed is there.
 */
import { useAes } from '../../src/codec/aes.ts';
import { nodeAes } from '../../src/node/aes.ts';
import { DiskModel } from '../support/disk-model.ts';
import { type GuestDisk, runWorkload, verifiedRead } from '../support/guest-run.ts';
import { type PowerCut, powerCuts } from '../support/power-cut.ts';
import { Random } from '../support/random.ts';
import { describeScenario, scenarioModel, type Scenario, type Subject } from '../support/scenario.ts';
import type { LoggedStorage } from '../support/power-cut.ts';
import type { SimulatedStorageOptions } from '../support/simulated-storage.ts';
import type { SoakCounts } from '../support/soak.ts';
import type { SparseBytes } from '../support/sparse-bytes.ts';
import { generateWorkload, type Operation, shrinkWorkload } from '../support/workload.ts';

// As its users have it in Node; the one in JavaScript has tests of its own, and takes many times as long.
useAes(nodeAes);

export interface PowerCutRun {
  /** Changes the storage, for runs that must fail. */
  readonly storage?: SimulatedStorageOptions;
  /** Also sees every file that was left by a cut. */
  readonly onCut?: (content: SparseBytes, what: string) => Promise<void>;
  /** Looks at every n-th position of the log only. */
  readonly stride?: number;
  /** How many shorter workloads are tried when one fails; 0 for runs that must. */
  readonly shrinking?: number;
}

/** @returns how many power cuts the image survived */
async function runOnce(
  subject: Subject,
  scenario: Scenario,
  operations: readonly Operation[],
  seed: number,
  run: PowerCutRun,
): Promise<number> {
  const storage = await subject.storage(scenario, new Random(seed), undefined, run.storage);
  const model = scenarioModel(scenario, () => storage.position);
  const disk = await subject.open(scenario, storage);
  const after = await runWorkload(disk, model, operations, { together: scenario.together });
  await after.close();
  return cutEverywhere(subject, scenario, storage, model, seed, run);
}

async function cutEverywhere(
  subject: Subject,
  scenario: Scenario,
  storage: LoggedStorage,
  model: DiskModel,
  seed: number,
  run: PowerCutRun,
): Promise<number> {
  const random = new Random(seed + 1);
  // Over synchronous storage nothing depends on timing, and a cut costs a third.
  const calm: Scenario = { ...scenario, waits: false, together: 1 };
  let cuts = 0;
  for (const cut of powerCuts(storage, { random, samples: 2, stride: run.stride ?? 1 })) {
    const what = `power cut after event ${cut.position} of ${storage.log.length}, ${cut.description}`;
    try {
      await survive(subject, calm, cut, model, random);
      await run.onCut?.(cut.content, what);
    } catch (error) {
      throw new Error(`${what}: ${String(error)}`, { cause: error });
    }
    cuts++;
  }
  return cuts;
}

let buffer = new Uint8Array(0);

/** Memory for a whole disk, the same for all of them: none is looked at for long, and new memory costs more than what is read into it. */
function scratch(length: number): Uint8Array {
  if (buffer.length < length) buffer = new Uint8Array(length);
  return buffer.subarray(0, length).fill(0xa5);
}

async function survive(
  subject: Subject,
  scenario: Scenario,
  cut: PowerCut,
  model: DiskModel,
  random: Random,
): Promise<void> {
  await subject.expectSound(scenario, cut.content, 'before the disk is opened again', 'allowed');
  const storage = await subject.storage(scenario, random, cut.content);
  const disk = await subject.open(scenario, storage);
  const content = scratch(disk.size);
  await disk.read(0, content);
  model.verifyAfterCut(cut.position, content);
  if (disk.snapshots !== undefined) await model.snapshots.verify(disk.snapshots, cut.position);
  const goesOn = random.chance(0.08);
  await (goesOn ? workOn(disk, content.slice(), random) : disk.close());
  await subject.expectSound(scenario, storage.content, 'after it was opened and closed again', 'allowed');
}

/** The image is not only readable: it takes writes. */
async function workOn(disk: GuestDisk, initial: Uint8Array, random: Random): Promise<void> {
  const model = new DiskModel(initial.length, { initial });
  const operations = generateWorkload({ random, count: 8, size: initial.length, boundaries: [512, 4096] });
  const after = await runWorkload(disk, model, operations);
  await verifiedRead(after, model, 0, after.size);
  await after.close();
}

/**
 * Many short workloads' worth of power cuts for a seed.
 *
 * @throws when a cut loses flushed bytes, shows bytes that never belonged there or leaves a corrupt image, with the shortest
 *   list of operations that shows it
 */
export async function runPowerCuts(subject: Subject, seed: number, run: PowerCutRun = {}): Promise<SoakCounts> {
  const random = new Random(seed);
  const scenario = subject.choose(random, { operations: 30, maxSize: 96 * 1024, maxClusterBits: 12 });
  try {
    return {
      cuts: await runOnce(subject, scenario, scenario.operations, seed, run),
      operations: scenario.operations.length,
    };
  } catch (error) {
    let last: unknown = error;
    const fails = async (operations: readonly Operation[]): Promise<boolean> => {
      try {
        await runOnce(subject, scenario, operations, seed, run);
        return false;
      } catch (again) {
        last = again;
        return true;
      }
    };
    const shortest = await shrinkWorkload(scenario.operations, fails, run.shrinking ?? 60);
    throw new Error(`${subject.name} seed ${seed}: ${String(last)}\n${describeScenario(scenario, shortest)}`, {
      cause: error,
    });
  }
}

/** qcow2 disks that may have all that the format has, at once, as far as it goes together; and which of them all a seed stands for. */
import { bitmapSubject } from './qcow2-bitmap-subject.ts';
import {
  chooseScenario,
  compressedSubject,
  dataFileSubject,
  emptiedSubject,
  encryptedSubject,
  extendedL2Subject,
  type Features,
  oldSnapshotSubject,
  qcow2Subject,
  snapshotSubject,
} from './qcow2-scenario.ts';
import { Random } from './random.ts';
import type { Scenario, ScenarioChoice, Subject } from './scenario.ts';

const BITMAP_WEIGHTS = { write: 8, compress: 4, read: 2, zero: 4, discard: 3, flush: 3, reopen: 2 } as const;

/** A data file holds guest clusters as they are: nothing compressed, and no snapshots. Encrypted clusters are not compressed. */
function chooseFeatures(random: Random, large: boolean): Features {
  const external = random.chance(0.2);
  const encryption = random.chance(0.25) ? (large && random.chance(0.2) ? 'any' : 'aes') : undefined;
  return {
    external,
    extended: random.chance(0.3),
    encryption,
    snapshots: !external && random.chance(0.6),
    compressed: !external && encryption === undefined && random.chance(0.6),
  };
}

function choose(random: Random, choice: ScenarioChoice): Scenario {
  const features = chooseFeatures(random, choice.operations > 100);
  if (features.snapshots === true || random.chance(0.4)) return chooseScenario(random, choice, features);
  const { compress, ...others } = BITMAP_WEIGHTS;
  const weights = features.compressed === true ? { ...others, compress } : others;
  const chosen = chooseScenario(random, { ...choice, weights }, features);
  return { ...chosen, bitmaps: true, create: { ...chosen.create, compat: '1.1' } };
}

/** What knows how an image of a scenario is made, opened and looked at. */
function subjectOf({ bitmaps, create }: Scenario): Subject {
  if (bitmaps === true) return bitmapSubject;
  return create['data_file'] === undefined ? snapshotSubject : dataFileSubject;
}

export const everythingSubject: Subject = {
  name: 'qcow2 with everything',
  choose,
  storage: (scenario, ...rest) => subjectOf(scenario).storage(scenario, ...rest),
  open: (scenario, storage) => subjectOf(scenario).open(scenario, storage),
  expectSound: (scenario, ...rest) => subjectOf(scenario).expectSound(scenario, ...rest),
};

/** A variant of qcow2 for a seed of the long tiers. */
export function qcow2SubjectFor(seed: number): Subject {
  const alone = [
    qcow2Subject,
    extendedL2Subject,
    snapshotSubject,
    oldSnapshotSubject,
    dataFileSubject,
    compressedSubject,
    encryptedSubject,
  ];
  const random = new Random(seed).fork();
  if (random.chance(0.5)) return everythingSubject;
  const subject = random.pick(alone);
  return subject === qcow2Subject && random.chance(0.5) ? emptiedSubject : subject;
}

/** Chooses, by seed, an image and what a guest does to it: all that the simulations of qcow2 have in common. */
import { SECTOR_SIZE } from '../../src/block/limits.ts';
import type { Storage } from '../../src/block/driver.ts';
import { startAsync } from '../../src/block/co.ts';
import {
  applySnapshot,
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
  loadSnapshot,
} from '../../src/block/image/snapshot.ts';
import { TEST_SECRET } from './driver-contexts.ts';
import type { GuestDisk, GuestSnapshots } from './guest-run.ts';
import { checkFile, expectSound } from './qcow2-check.ts';
import { makeQcow2, openQcow2, readDisk } from './qcow2-session.ts';
import { equalBytes, type Random } from './random.ts';
import type { Beside } from './failing-storage.ts';
import {
  baseStorage,
  chooseBase,
  guestDisk,
  storageAround,
  type OpenedDisk,
  type Scenario,
  type ScenarioChoice,
  type Subject,
} from './scenario.ts';
import { SimulatedStorage, type SimulatedStorageOptions } from './simulated-storage.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import { generateWorkload, type Operation } from './workload.ts';

const MANY_CHANGES = { write: 10, read: 2, zero: 4, discard: 3, flush: 3, reopen: 1, resize: 1 } as const;
const SNAPSHOTS = { snapshot: 3, apply: 2, delete: 2 } as const;
const COMPRESSING = { ...MANY_CHANGES, write: 4, compress: 10 } as const;

/** What a scenario's image has beside what every one may have. */
export interface Features {
  /** Missing: mostly 3. */
  readonly version?: 2;
  readonly extended?: boolean;
  readonly snapshots?: boolean;
  readonly external?: boolean;
  readonly compressed?: boolean;
  /** LUKS takes 2 MB of a file, and time at each open. */
  readonly encryption?: 'aes' | 'any' | undefined;
}

const LUKS = {
  'encrypt.format': 'luks',
  'encrypt.key-secret': TEST_SECRET,
  'encrypt.iter-time': 1,
  'encrypt.cipher-alg': 'aes-128',
} as const;

/** One of each kind: an image of its own way to number sectors, and a header with and without a place in the file. */
function chooseEncryption(random: Random, kind: 'aes' | 'any'): Readonly<Record<string, unknown>> {
  if (kind === 'aes' || random.chance(0.4)) return { 'encrypt.format': 'aes', 'encrypt.key-secret': TEST_SECRET };
  return { ...LUKS, 'encrypt.cipher-mode': random.pick(['cbc', 'xts']) };
}

export function chooseScenario(random: Random, choice: ScenarioChoice, features: Features = {}): Scenario {
  const { external = false, encryption } = features;
  const encrypted = encryption !== undefined;
  const extended = features.extended ?? ((external || encrypted) && random.chance(0.3));
  const minClusterBits = extended ? 14 : 9;
  const clusterSize = 2 ** random.between(minClusterBits, Math.max(minClusterBits, choice.maxClusterBits));
  const isOld = random.chance(0.2) && !extended && !external;
  const version = features.version ?? (isOld ? 2 : 3);
  const size = SECTOR_SIZE * random.between(1, choice.maxSize / SECTOR_SIZE);
  const isRaw = external && encryption === undefined && random.chance(0.5);
  const base = random.chance(0.4) && !isRaw ? chooseBase(random, size) : undefined;
  const waits = random.chance(0.5);
  // Version 2 has no way to say that clusters read as zero, and what is encrypted does not by itself.
  const mayReserve = (base === undefined || extended) && !(encrypted && version === 2);
  const preallocation = mayReserve && random.chance(0.15) ? 'metadata' : 'off';
  const lazy = version === 3 && random.chance(0.25);
  return {
    create: {
      size,
      cluster_size: clusterSize,
      preallocation,
      compat: version === 2 ? '0.10' : '1.1',
      ...(version === 3 && { refcount_bits: random.pick([1, 2, 4, 8, 16, 32, 64]), lazy_refcounts: lazy }),
      ...(extended && { extended_l2: true }),
      ...(external && { data_file: 'beside', data_file_raw: isRaw }),
      ...(features.compressed === true && version === 3 && { compression_type: random.pick(['zlib', 'zlib', 'zstd']) }),
      ...(encryption !== undefined && chooseEncryption(random, encryption)),
      ...(base !== undefined && { backing_file: 'base', backing_fmt: 'raw' }),
    },
    open: {
      ...(encrypted && { encrypt: { 'key-secret': TEST_SECRET } }),
      discard: random.chance(0.8) ? 'unmap' : 'ignore',
      'detect-zeroes': random.pick(['off', 'off', 'on', 'unmap']),
      'l2-cache-size': random.pick([2048, 16_384, 2 ** 20]),
      'refcount-cache-size': random.pick([2048, 2 ** 20]),
      ...(random.chance(0.5) && { 'l2-cache-entry-size': 512 }),
      ...(version === 3 && random.chance(0.25) && { 'discard-no-unref': true }),
    },
    base,
    storage: {
      zeroes: random.chance(0.7),
      discards: random.chance(0.7),
      limits: { requestAlignment: random.pick([1, 1, 1, 512, 4096]) },
    },
    waits,
    together: waits ? random.pick([1, 2, 5]) : 1,
    size,
    operations: generateWorkload({
      random,
      count: choice.operations,
      size,
      boundaries: [clusterSize, extended ? clusterSize / 32 : clusterSize * (clusterSize / 8), 4096],
      maxLength: random.pick([clusterSize * 3, size]),
      sizes: [SECTOR_SIZE, choice.maxSize],
      weights: choice.weights ?? weightsFor(features, version),
    }),
  };
}

function weightsFor({ compressed, snapshots }: Features, version: 2 | 3): NonNullable<ScenarioChoice['weights']> {
  const weights = { ...(compressed === true ? COMPRESSING : MANY_CHANGES), ...(snapshots === true && SNAPSHOTS) };
  const { resize, ...others } = weights;
  // Version 2 refuses another size while there are snapshots.
  return version === 2 && snapshots === true ? others : { ...others, resize };
}

/** Makes the image of a scenario. @param content the file, if there is one already, as after a power cut */
export async function scenarioStorage(
  scenario: Scenario,
  random: Random,
  content?: SparseBytes,
  options: SimulatedStorageOptions = {},
): Promise<SimulatedStorage> {
  return storageAround(scenario, random, content ?? (await makeQcow2(scenario.create)), options);
}

/** Opens the disk of a scenario as a guest has it. */
export async function openScenario(scenario: Scenario, storage: Storage & Beside): Promise<GuestDisk> {
  const opened = await openQcow2(storage, scenario.open, baseStorage(scenario));
  return guestDisk(opened, () => openScenario(scenario, storage), snapshotsOf(opened, scenario, storage));
}

/** Options to open the disk of a scenario for looking at it. */
export function readOnly({ open }: Scenario): Readonly<Record<string, unknown>> {
  const { encrypt } = open;
  return { 'read-only': true, ...(encrypt !== undefined && { encrypt }) };
}

function snapshotsOf({ disk }: OpenedDisk, scenario: Scenario, storage: Storage): GuestSnapshots {
  return {
    names: () => listSnapshots(disk.node).map(({ name }) => name),
    create: (name) => startAsync(createSnapshot(disk.node, { name })).then(() => undefined),
    apply: (name) => startAsync(applySnapshot(disk.node, { name })).then(() => undefined),
    delete: (name) => startAsync(deleteSnapshot(disk.node, { name })).then(() => undefined),
    read: async (name, limit = Number.POSITIVE_INFINITY) => {
      const reader = await openQcow2(storage, readOnly(scenario), baseStorage(scenario));
      await startAsync(loadSnapshot(reader.disk.node, { name }));
      const content = new Uint8Array(Math.min(reader.disk.length, limit));
      if (content.length > 0) await reader.disk.read(0, content);
      await reader.graph.close(reader.disk);
      return content;
    },
  };
}

/** qcow2 for the simulations that every format goes through. */
export const qcow2Subject: Subject = {
  name: 'qcow2',
  choose: chooseScenario,
  storage: scenarioStorage,
  open: openScenario,
  async expectSound(_scenario, content, what, leaks) {
    const checked = await checkFile(content);
    // With the dirty bit set the refcounts are only right after the repair at open.
    if (!checked.dirty || leaks === 'forbidden') expectSound(checked, what, leaks);
  },
};

/** The same with subclusters. */
export const extendedL2Subject: Subject = {
  ...qcow2Subject,
  name: 'qcow2 with extended_l2',
  choose: (random, choice) => chooseScenario(random, choice, { extended: true }),
};

/** The same, emptied again and again, as commits leave an overlay. */
export const emptiedSubject: Subject = {
  ...qcow2Subject,
  name: 'qcow2, emptied',
  choose: (random, choice) => {
    const compressed = random.chance(0.3);
    const weights = { ...(compressed ? COMPRESSING : MANY_CHANGES), reopen: 2, empty: 3 };
    return chooseScenario(random, { ...choice, weights }, { compressed });
  },
};

/** The same with internal snapshots. */
export const snapshotSubject: Subject = {
  ...qcow2Subject,
  name: 'qcow2 with snapshots',
  choose: (random, choice) => chooseScenario(random, choice, { snapshots: true }),
};

/** The same in version 2, which has no dirty bit: what a cut leaves must be right as it is. */
export const oldSnapshotSubject: Subject = {
  ...snapshotSubject,
  name: 'qcow2 of version 2 with snapshots',
  choose: (random, choice) => chooseScenario(random, choice, { version: 2, snapshots: true }),
};

const STEPS_SIZE = 80 * 1024;
const STEP_CLUSTER = 512;

/** Snapshots of version 2 in all places of the list made, applied and deleted, over tables that are shared by all of them in part. */
export const snapshotStepsSubject: Subject = {
  ...snapshotSubject,
  name: 'qcow2 of version 2, snapshots step by step',
  choose(random, choice) {
    const scenario = chooseScenario(random, choice, { version: 2, snapshots: true });
    const create = { ...scenario.create, size: STEPS_SIZE, cluster_size: STEP_CLUSTER, preallocation: 'off' };
    return { ...scenario, create, size: STEPS_SIZE, operations: snapshotSteps() };
  },
};

function snapshotSteps(): Operation[] {
  let id = 0;
  const write = (cluster: number, clusters: number): Operation => {
    const place = { offset: cluster * STEP_CLUSTER, length: clusters * STEP_CLUSTER };
    return { id: ++id, verb: 'write', ...place, fua: false };
  };
  const change = (verb: 'snapshot' | 'apply' | 'delete', which = 0): Operation => ({ id: ++id, verb, which });
  return [
    write(0, 70),
    change('snapshot'),
    write(3, 2),
    change('snapshot'),
    write(66, 1),
    write(130, 9),
    change('snapshot'),
    change('delete', 1),
    write(4, 1),
    change('apply', 1),
    change('delete', 0),
    write(0, 1),
    change('snapshot'),
    change('apply', 0),
    change('delete', 0),
    { id: ++id, verb: 'reopen' },
    write(67, 2),
    change('delete', 0),
    write(5, 1),
  ];
}

/** The same with an external data file. A raw one is a raw image of the disk at every moment. */
export const dataFileSubject: Subject = {
  ...qcow2Subject,
  name: 'qcow2 with data_file',
  choose: (random, choice) => chooseScenario(random, choice, { external: true }),
  async expectSound(scenario, content, what, leaks) {
    await qcow2Subject.expectSound(scenario, content, what, leaks);
    if (scenario.create['data_file_raw'] !== true) return;
    const storage = new SimulatedStorage({ initial: content, readOnly: true });
    const { graph, disk } = await openQcow2(storage, readOnly(scenario));
    const shown = await readDisk(disk);
    const raw = new Uint8Array(shown.length);
    content.beside!.read(0, raw);
    if (!equalBytes(shown, raw)) throw new Error(`${what}: the raw data file is not what the disk shows`);
    await graph.close(disk);
  },
};

/** The same with compressed writes. */
export const compressedSubject: Subject = {
  ...qcow2Subject,
  name: 'qcow2 with compressed writes',
  choose: (random, choice) => chooseScenario(random, choice, { compressed: true }),
};

/** The same, encrypted: with LUKS or the old AES. */
export const encryptedSubject: Subject = {
  ...qcow2Subject,
  name: 'qcow2, encrypted',
  choose: (random, choice) => chooseScenario(random, choice, { encryption: 'any' }),
};

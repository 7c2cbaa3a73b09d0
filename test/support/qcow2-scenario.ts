/** Chooses, by seed, an image and what a guest does to it: all that the simulations of qcow2 have in common. */
import { SECTOR_SIZE } from '../../src/block/limits.ts';
import { DiskModel } from './disk-model.ts';
import type { GuestDisk } from './guest-run.ts';
import { makeQcow2, openQcow2 } from './qcow2-session.ts';
import { patternedBytes, type Random } from './random.ts';
import { SimulatedStorage, type SimulatedStorageOptions } from './simulated-storage.ts';
import type { Storage } from '../../src/block/driver.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import { generateWorkload, type Operation, printWorkload, type Verb } from './workload.ts';

export interface Scenario {
  readonly create: Readonly<Record<string, unknown>>;
  readonly open: Readonly<Record<string, unknown>>;
  /** What the disk holds before anything is written, where a backing file answers. */
  readonly base: Uint8Array | undefined;
  readonly storage: Omit<SimulatedStorageOptions, 'initial' | 'random'>;
  /** Requests are answered later, in random order. */
  readonly waits: boolean;
  /** How many requests the guest has under way. */
  readonly together: number;
  readonly size: number;
  readonly operations: readonly Operation[];
}

export interface ScenarioChoice {
  readonly operations: number;
  /** The largest disk, bytes. */
  readonly maxSize: number;
  readonly maxClusterBits: number;
  readonly weights?: Readonly<Partial<Record<Verb, number>>>;
}

const MANY_CHANGES = { write: 10, read: 2, zero: 4, discard: 3, flush: 3, reopen: 1, resize: 1 } as const;
/** Patterns of the backing file are told from the guest's by their write number. */
const BASE_WRITE = 1_000_000;

export function chooseScenario(random: Random, choice: ScenarioChoice): Scenario {
  const clusterSize = 2 ** random.between(9, choice.maxClusterBits);
  const version = random.chance(0.2) ? 2 : 3;
  const size = SECTOR_SIZE * random.between(1, choice.maxSize / SECTOR_SIZE);
  const base = random.chance(0.4) ? chooseBase(random, size) : undefined;
  const waits = random.chance(0.5);
  const preallocation = base === undefined && random.chance(0.15) ? 'metadata' : 'off';
  const lazy = version === 3 && random.chance(0.25);
  return {
    create: {
      size,
      cluster_size: clusterSize,
      preallocation,
      compat: version === 2 ? '0.10' : '1.1',
      ...(version === 3 && { refcount_bits: random.pick([1, 2, 4, 8, 16, 32, 64]), lazy_refcounts: lazy }),
      ...(base !== undefined && { backing_file: 'base', backing_fmt: 'raw' }),
    },
    open: {
      discard: random.chance(0.8) ? 'unmap' : 'ignore',
      'detect-zeroes': random.pick(['off', 'off', 'on', 'unmap']),
      'l2-cache-size': random.pick([2048, 16_384, 2 ** 20]),
      'refcount-cache-size': random.pick([2048, 2 ** 20]),
      ...(random.chance(0.5) && { 'l2-cache-entry-size': 512 }),
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
      boundaries: [clusterSize, clusterSize * (clusterSize / 8), 4096],
      maxLength: random.pick([clusterSize * 3, size]),
      sizes: [SECTOR_SIZE, choice.maxSize],
      weights: choice.weights ?? MANY_CHANGES,
    }),
  };
}

function chooseBase(random: Random, size: number): Uint8Array {
  const length = random.pick([size, Math.ceil(size / 2), size + 8192]);
  const sectors = Math.max(1, Math.round(length / SECTOR_SIZE));
  const base = patternedBytes(BASE_WRITE, 0, sectors * SECTOR_SIZE).slice();
  // Holes, as real bases have them.
  for (let hole = 0; hole < 3; hole++) {
    const start = random.below(sectors) * SECTOR_SIZE;
    base.fill(0, start, start + SECTOR_SIZE * random.between(1, 20));
  }
  return base;
}

/** The scenario in words, for a failure's message. */
export function describeScenario(scenario: Scenario, operations: readonly Operation[] = scenario.operations): string {
  const { create, open, storage, waits, together, base } = scenario;
  const facts = { create, open, storage, waits, together, base: base?.length };
  return `${JSON.stringify(facts)}\n${printWorkload(operations)}`;
}

/** A storage that lives on when a graph closes it. */
class LastingStorage extends SimulatedStorage {
  override close(): void {
    // The next graph opens it again.
  }
}

/** Makes the image of a scenario. @param content the file, if there is one already, as after a power cut */
export async function scenarioStorage(
  scenario: Scenario,
  random: Random,
  content?: SparseBytes,
  options: SimulatedStorageOptions = {},
): Promise<SimulatedStorage> {
  const initial = content ?? (await makeQcow2(scenario.create));
  const alignment = scenario.storage.limits?.requestAlignment ?? 1;
  const padded = initial.copy();
  padded.truncate(Math.ceil(initial.length / alignment) * alignment);
  const waiting = scenario.waits ? { random: random.fork() } : {};
  return new LastingStorage({ ...scenario.storage, ...waiting, ...options, initial: padded });
}

/** A model of the scenario's disk. @param position the place in the log of its storage */
export function scenarioModel({ base, size }: Scenario, position: () => number = () => 0): DiskModel {
  return new DiskModel(
    size,
    base === undefined ? { position } : { position, initial: base.subarray(0, size), below: base },
  );
}

/** Opens the disk of a scenario as a guest has it. */
export async function openScenario(scenario: Scenario, storage: Storage): Promise<GuestDisk> {
  const base =
    scenario.base === undefined ? undefined : new SimulatedStorage({ initial: scenario.base, readOnly: true });
  const { graph, disk } = await openQcow2(storage, scenario.open, base);
  return {
    get size() {
      return disk.length;
    },
    read: (offset, buffer) => disk.read(offset, buffer),
    write: (offset, data, fua) => disk.write(offset, data, { fua }),
    writeZeroes: (offset, length, unmap) => disk.writeZeroes(offset, length, { mayUnmap: unmap }),
    discard: (offset, length) => disk.discard(offset, length),
    flush: () => disk.flush(),
    resize: async (size) => disk.resize(size),
    close: () => graph.close(disk),
    reopen: async () => {
      await graph.close(disk);
      return openScenario(scenario, storage);
    },
  };
}

/** What a simulation works on: an image, chosen by seed, and what a guest does to it. The same for every format. */
import { settle, startAsync, type Co } from '../../src/block/co.ts';
import type { CreateContext, FormatDriver, Storage } from '../../src/block/driver.ts';
import { raw } from '../../src/block/format/raw/driver.ts';
import type { BlockBackend } from '../../src/block/graph/backend.ts';
import { BlockGraph } from '../../src/block/graph/graph.ts';
import type { ImageNode } from '../../src/block/graph/image-node.ts';
import type { OpenPolicy } from '../../src/block/graph/opener.ts';
import { SECTOR_SIZE } from '../../src/block/limits.ts';
import { parseOptions } from '../../src/block/options.ts';
import { DiskModel } from './disk-model.ts';
import { bareCreateContext, TEST_PASSPHRASE, TEST_SECRET } from './driver-contexts.ts';
import type { Beside } from './failing-storage.ts';
import { givenProtocol } from './given-storage.ts';
import type { GuestDisk, GuestSnapshots } from './guest-run.ts';
import { patternedBytes, type Random } from './random.ts';
import { SimulatedStorage, type SimulatedStorageOptions } from './simulated-storage.ts';
import type { SparseBytes } from './sparse-bytes.ts';
import { StorageChild } from './storage-child.ts';
import { type Operation, printWorkload, type Verb } from './workload.ts';

export interface Scenario {
  readonly create: Readonly<Record<string, unknown>>;
  readonly open: Readonly<Record<string, unknown>>;
  /** What the disk holds before anything is written, where a backing file answers. */
  readonly base: Uint8Array | undefined;
  readonly storage: Omit<SimulatedStorageOptions, 'initial' | 'random'>;
  /** It has persistent dirty bitmaps, where the format has such. */
  readonly bitmaps?: boolean;
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

/** A format as the simulations see it: test/simulation runs each of them over every subject. */
export interface Subject {
  /** For the names of tests and in messages. */
  readonly name: string;
  choose(random: Random, choice: ScenarioChoice): Scenario;
  /** The image's file. @param content what it holds already, as after a power cut; else a new image is made */
  storage(
    scenario: Scenario,
    random: Random,
    content?: SparseBytes,
    options?: SimulatedStorageOptions,
  ): Promise<SimulatedStorage>;
  /** Opens the disk as a guest has it. */
  open(scenario: Scenario, storage: Storage): Promise<GuestDisk>;
  /**
   * Looks at an image that nobody has open. @param leaks whether space may be lost
   * @throws with what is wrong. An image that says itself that it was not closed is not looked at, unless `leaks` are forbidden
   */
  expectSound(scenario: Scenario, content: SparseBytes, what: string, leaks: 'allowed' | 'forbidden'): Promise<void>;
}

/** Patterns of the backing file are told from the guest's by their write number. */
const BASE_WRITE = 1_000_000;

/** A backing file, shorter, longer or as long as a disk, with holes as real ones have them. */
export function chooseBase(random: Random, size: number): Uint8Array {
  const length = random.pick([size, Math.ceil(size / 2), size + 8192]);
  const sectors = Math.max(1, Math.round(length / SECTOR_SIZE));
  const base = patternedBytes(BASE_WRITE, 0, sectors * SECTOR_SIZE).slice();
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

/** A storage that lives on when a graph closes it: the next graph opens it again. */
export class LastingStorage extends SimulatedStorage {
  override close(): void {
    // What a storage holds outlives who has it open.
  }
}

/** Makes an empty image with a driver. @returns the file's bytes, and beside them those of another file that it makes */
export async function makeImage(
  driver: FormatDriver,
  options: Readonly<Record<string, unknown>>,
): Promise<SparseBytes> {
  const storage = new SimulatedStorage();
  const beside = new SimulatedStorage();
  const parsed = parseOptions(driver.createOptions, options, 'a test');
  const context: CreateContext = {
    ...bareCreateContext,
    *createFile(_filename, size) {
      yield* settle(beside.truncate(size));
      storage.content.beside = beside.content;
      return new StorageChild(beside, size);
    },
  };
  await startAsync(driver.create!(new StorageChild(storage, 0), parsed, context));
  return storage.content;
}

/** The storage of a scenario around a file, padded to what its alignment asks for. */
export function storageAround(
  scenario: Scenario,
  random: Random,
  content: SparseBytes,
  options: SimulatedStorageOptions = {},
): SimulatedStorage {
  const alignment = scenario.storage.limits?.requestAlignment ?? 1;
  const padded = content.copy();
  padded.truncate(Math.ceil(content.length / alignment) * alignment);
  padded.beside?.truncate(Math.ceil(padded.beside.length / alignment) * alignment);
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

export interface OpenedDisk {
  readonly graph: BlockGraph;
  readonly disk: BlockBackend;
}

/** Opens an image in a storage, with `base` behind it if one is given. A file beside it is its external data file, or its extent. */
export async function openDisk(
  driver: FormatDriver,
  storage: Storage & Beside,
  options: Readonly<Record<string, unknown>> = {},
  base?: Storage,
  policy: Partial<OpenPolicy> = {},
): Promise<OpenedDisk> {
  const storages = new Map<string, Storage>([['disk', storage]]);
  const { beside } = storage;
  if (beside !== undefined) storages.set('beside', beside);
  if (base !== undefined) storages.set('base', base);
  const graph = new BlockGraph({
    protocols: [givenProtocol(storages)],
    formats: driver === raw ? [raw] : [driver, raw],
    filters: [],
    defaultProtocol: 'given',
  });
  graph.secrets.add(TEST_SECRET, TEST_PASSPHRASE);
  const backing = base === undefined ? {} : { backing: { driver: 'raw', file: { driver: 'given', name: 'base' } } };
  const opened = {
    driver: driver.name,
    file: { driver: 'given', name: 'disk' },
    discard: 'unmap',
    ...backing,
    ...(beside !== undefined && besideOption(driver)),
    ...options,
  };
  const disk = await graph.open(opened, policy);
  return { graph, disk };
}

/** What the file beside an image is to it. */
function besideOption({ name }: FormatDriver): Readonly<Record<string, unknown>> {
  const beside = { driver: 'given', name: 'beside' };
  return name === 'vmdk' ? { extents: { 0: beside } } : { 'data-file': beside };
}

/** The disk of a scenario as a guest has it, once it is open. @param reopen opens it anew */
export function guestDisk(
  { graph, disk }: OpenedDisk,
  reopen: () => Promise<GuestDisk>,
  snapshots?: GuestSnapshots,
): GuestDisk {
  return {
    ...(snapshots !== undefined && { snapshots }),
    get size() {
      return disk.length;
    },
    read: (offset, buffer) => disk.read(offset, buffer),
    write: (offset, data, fua, compressed = false) => disk.write(offset, data, { fua, compressed }),
    writeZeroes: (offset, length, unmap) => disk.writeZeroes(offset, length, { mayUnmap: unmap }),
    discard: (offset, length) => disk.discard(offset, length),
    flush: () => disk.flush(),
    resize: async (size) => disk.resize(size),
    makeEmpty: () => startAsync(emptyDisk({ graph, disk })),
    close: () => graph.close(disk),
    reopen: async () => {
      await graph.close(disk);
      return reopen();
    },
  };
}

/** As a commit leaves an overlay. */
function* emptyDisk({ graph, disk }: OpenedDisk): Co<void> {
  const { image } = disk.node as ImageNode;
  yield* graph.drained(disk.node, () => settle(image.makeEmpty!()));
  graph.clock.generation++;
}

/** The backing file of a scenario, as a storage. */
export function baseStorage({ base }: Scenario): Storage | undefined {
  return base === undefined ? undefined : new SimulatedStorage({ initial: base, readOnly: true });
}

/**
 * Hostile qcow2 images: small valid ones, damaged in their structure and in raw bytes by seed. Each is probed, opened, checked, read,
 * written and repaired, under limits of time and space. Nothing but BlockErrors may come out.
 */
import { BlockError } from '../../src/block/error.ts';
import { qcow2 } from '../../src/block/format/qcow2/driver.ts';
import { checkStorage } from '../support/qcow2-check.ts';
import { harmlessDamages, mappingDamages, Qcow2File } from '../support/qcow2-damage.ts';
import { chooseScenario, openScenario, scenarioStorage } from '../support/qcow2-scenario.ts';
import { describeScenario, LastingStorage, type Scenario } from '../support/scenario.ts';
import type { GuestDisk } from '../support/guest-run.ts';
import { patternedBytes, Random } from '../support/random.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';
import type { SoakCounts } from '../support/soak.ts';

/** A case that takes longer is a defect: everything is bounded by the file, and that has less than a megabyte. */
const MAX_CASE_SECONDS = 10;
/** What a case may store: a file of this size came from a small one only if something was not bounded. */
const MAX_STORED_BYTES = 64 * 2 ** 20;
const CASES_PER_SEED = 20;

/** A small valid image with data, holes, zeroes and tables in it. */
async function validImage(scenario: Scenario, random: Random): Promise<Uint8Array> {
  const storage = await scenarioStorage(scenario, random);
  const disk = await openScenario(scenario, storage);
  for (let write = 1; write <= 8; write++) {
    const offset = random.below(Math.max(1, disk.size / 512)) * 512;
    const length = Math.min(disk.size - offset, 512 * random.between(1, 24));
    if (random.chance(0.25)) await disk.writeZeroes(offset, length, true);
    else await disk.write(offset, patternedBytes(write, offset, length).slice(), false);
  }
  await disk.close();
  return storage.content.toBytes();
}

/** Numbers that programs stumble over. */
function hostileNumber(random: Random): bigint {
  const near = BigInt(random.between(-2, 2));
  const powers = [0n, 1n, 9n, 16n, 31n, 32n, 41n, 52n, 53n, 55n, 56n, 61n, 62n, 63n, 64n];
  return BigInt.asUintN(64, (1n << random.pick(powers)) + near);
}

const HEADER_FIELDS = [8, 16, 20, 24, 32, 36, 40, 48, 56, 60, 64, 72, 80, 88, 96, 100, 104] as const;

function damage(file: Qcow2File, random: Random): string {
  const way = random.weighted({ structure: 5, header: 4, table: 4, bytes: 3, extension: 2, zeroed: 1 });
  const damages = { ...harmlessDamages, ...mappingDamages };
  switch (way) {
    case 'structure': {
      const name = random.pick(Object.keys(damages));
      damages[name]?.(file, random);
      return name;
    }
    case 'header': {
      const at = random.pick(HEADER_FIELDS);
      if (random.chance(0.5)) file.setUint32(at + random.pick([0, 4]), Number(hostileNumber(random) & 0xffff_ffffn));
      else file.change(at, () => hostileNumber(random));
      return `header field at ${at}`;
    }
    case 'table': {
      const tables = [...file.usedL1(), ...file.usedL2(), ...file.usedRefcountTable()];
      const at = tables.length === 0 ? 0 : random.pick(tables);
      const known = tables.map((offset) => file.entry(offset));
      file.change(at, (entry) =>
        random.pick([hostileNumber(random), entry ^ hostileNumber(random), random.pick([0n, ...known])]),
      );
      return `table entry at ${at}`;
    }
    case 'bytes': {
      const at = random.below(file.bytes.length);
      for (let count = random.between(1, 8); count > 0; count--) file.setByte(at + random.below(32), random.below(256));
      return `bytes at ${at}`;
    }
    case 'extension': {
      const at = 104 + 8 * random.below(40);
      file.setUint32(
        at,
        random.pick([0, 0xe279_2aca, 0x6803_f857, 0x2385_2875, 0x0537_be77, 0x4441_5441, 0x5350_4e44]),
      );
      file.setUint32(at + 4, random.pick([0, 1, 8, 24, 4096, 0x7fff_ffff, 0xffff_ffff]));
      return `extension at ${at}`;
    }
    case 'zeroed': {
      const at = random.below(file.bytes.length);
      file.bytes.fill(0, at, at + file.clusterSize);
      return `zeroes at ${at}`;
    }
  }
}

function mutate(image: Uint8Array, random: Random): { readonly bytes: Uint8Array; readonly ways: string[] } {
  const file = new Qcow2File(image.slice());
  const ways: string[] = [];
  for (let count = random.between(1, 4); count > 0; count--) ways.push(damage(file, random));
  if (!random.chance(0.15)) return { bytes: file.bytes, ways };
  const length = random.below(image.length);
  return { bytes: file.bytes.slice(0, length), ways: [...ways, `cut off at ${length}`] };
}

/** Does a step that may fail, but only with a BlockError that is no defect's. @returns undefined if it failed */
async function step<T>(name: string, body: () => Promise<T>): Promise<T | undefined> {
  const began = performance.now();
  const outcome = await attempt(name, body);
  const seconds = (performance.now() - began) / 1000;
  if (seconds > MAX_CASE_SECONDS) throw new Error(`${name} took ${seconds.toFixed(1)} s`);
  return outcome;
}

async function attempt<T>(name: string, body: () => Promise<T>): Promise<T | undefined> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof BlockError && error.kind !== 'internal') return undefined;
    const cause = error instanceof Error ? (error.cause instanceof Error ? error.cause : error) : undefined;
    throw new Error(`${name}: ${String(error)}\n${cause?.stack ?? ''}`, { cause: error });
  }
}

/** @returns whether the image could be opened as it is, and after a repair */
async function exercise(
  scenario: Scenario,
  bytes: Uint8Array,
  random: Random,
): Promise<{ readonly opened: number; readonly repaired: number }> {
  const storage = new LastingStorage({ initial: bytes });
  qcow2.probe({ head: bytes.subarray(0, 4096), tail: bytes.subarray(-4096), size: bytes.length, filename: 'a.qcow2' });
  await step('check', () => checkStorage(new SimulatedStorage({ initial: bytes }), 'none'));
  const disk = await step('open', () => openScenario(scenario, storage));
  if (disk !== undefined) await use(disk, random);
  let mended = 0;
  for (const fix of ['leaks', 'all'] as const) {
    const repaired = new LastingStorage({ initial: storage.content });
    const first = await step(`check, repairing ${fix}`, () => checkStorage(repaired, fix));
    if (first === undefined || fix === 'leaks') continue;
    await expectStable(repaired);
    const again = await step('open after the repair', () => openScenario(scenario, repaired));
    if (again === undefined) continue;
    mended = 1;
    await use(again, random);
  }
  if (storage.content.storedBytes > MAX_STORED_BYTES)
    throw new Error(`${storage.content.storedBytes} bytes are stored`);
  return { opened: disk === undefined ? 0 : 1, repaired: mended };
}

/** What one repair leaves, another does not find to repair. */
async function expectStable(storage: SimulatedStorage): Promise<void> {
  const { result } = await checkStorage(storage, 'all');
  if (result.corruptionsFixed + result.leaksFixed === 0) return;
  const messages = result.findings.map(({ message }) => message).slice(0, 5);
  throw new Error(`a second repair found more to repair: ${messages.join('; ')}`);
}

async function use(disk: GuestDisk, random: Random): Promise<void> {
  const places = [0, disk.size - 65_536, random.below(Math.max(1, disk.size))].map((at) =>
    Math.max(0, at - (at % 512)),
  );
  for (const offset of places) {
    const length = Math.min(65_536, disk.size - offset);
    if (length <= 0) continue;
    await step('read', async () => disk.read(offset, new Uint8Array(length)));
    await step('write', async () =>
      disk.write(offset, patternedBytes(99, offset, Math.min(length, 5000)).slice(), false),
    );
    await step('write zeroes', async () => disk.writeZeroes(offset, length, random.chance(0.5)));
    await step('discard', async () => disk.discard(offset, length));
    await step('write again', async () =>
      disk.write(offset, patternedBytes(98, offset, Math.min(length, 700)).slice(), true),
    );
  }
  await step('flush', async () => disk.flush());
  if (random.chance(0.3)) await step('resize', () => disk.resize(random.pick([512, disk.size + 512, disk.size * 2])));
  await step('close', () => disk.close());
}

/** @throws when anything but a BlockError comes out, or a limit is passed */
export async function runFuzz(seed: number): Promise<SoakCounts> {
  const random = new Random(seed);
  const scenario: Scenario = {
    ...chooseScenario(random, { operations: 0, maxSize: 256 * 1024, maxClusterBits: 13 }),
    waits: false,
    storage: {},
  };
  const image = await validImage(scenario, random);
  let opened = 0;
  let repaired = 0;
  for (let number = 0; number < CASES_PER_SEED; number++) {
    const { bytes, ways } = mutate(image, random);
    try {
      const outcome = await exercise(scenario, bytes, random.fork());
      opened += outcome.opened;
      repaired += outcome.repaired;
    } catch (error) {
      throw new Error(
        `seed ${seed}, case ${number} (${ways.join(', ')}): ${String(error)}\n${describeScenario(scenario)}`,
        { cause: error },
      );
    }
  }
  return { images: CASES_PER_SEED, opened, repaired };
}

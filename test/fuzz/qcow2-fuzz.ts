/**
 * Hostile qcow2 images: small valid ones, damaged in their structure and in raw bytes by seed. Each is probed, opened, checked, read,
 * written and repaired, under limits of work, space and time. Nothing but BlockErrors may come out.
 *
 * A case that fails is reduced to the fewest damaged bytes and printed as a fixture, to be kept in `fixtures.ts`.
 */
import { deflateSync, inflateSync } from 'node:zlib';
import { qcow2 } from '../../src/block/format/qcow2/driver.ts';
import type { GuestDisk, GuestSnapshots } from '../support/guest-run.ts';
import { checkStorage } from '../support/qcow2-check.ts';
import { openScenario } from '../support/qcow2-scenario.ts';
import { compressibleBytes, patternedBytes, Random } from '../support/random.ts';
import type { Scenario } from '../support/scenario.ts';
import { SparseBytes } from '../support/sparse-bytes.ts';
import type { SoakCounts } from '../support/soak.ts';
import { expectBounded, MemoryStorage } from './memory-storage.ts';
import { mutate } from './mutations.ts';
import { makeSeedImages, type SeedImage } from './seed-images.ts';
import { step } from './step.ts';

export const CASES_PER_SEED = 20;
/** Bytes that are written compressed: a few clusters, as each takes as long as the rest of a case. */
const MAX_PACKED = 1536;

/** A file that showed a defect once. */
export interface Fixture {
  /** The name of the seed image whose options it is opened with. */
  readonly image: string;
  /** The file, deflated, in base64. */
  readonly file: string;
  /** Of the random work done on it. */
  readonly work: number;
}

interface Outcome {
  readonly opened: number;
  readonly repaired: number;
}

/** @returns whether the image could be opened as it is, and after a repair */
async function exercise(scenario: Scenario, bytes: Uint8Array, random: Random): Promise<Outcome> {
  const file = SparseBytes.from(bytes);
  if (scenario.create['data_file'] !== undefined) file.beside = SparseBytes.from(new Uint8Array(scenario.size));
  const storage = new MemoryStorage(file);
  qcow2.probe({ head: bytes.subarray(0, 4096), tail: bytes.subarray(-4096), size: bytes.length, filename: 'a.qcow2' });
  const found = await step('check', () => checkStorage(storage, 'none'));
  const disk = await step('open', () => openScenario(scenario, storage));
  // What neither a check nor an open can read, a repair cannot either.
  if (found === undefined && disk === undefined) return { opened: 0, repaired: 0 };
  if (disk !== undefined) await use(disk, random);
  const repaired = new MemoryStorage(storage.content);
  if (random.chance(0.2)) await step('check, repairing leaks', () => checkStorage(repaired, 'leaks'));
  const mended = await step('check, repairing all', () => checkStorage(repaired, 'all'));
  // A repair that says itself that it could not write something is not the last one.
  if (mended?.result.checkErrors === 0) await expectStable(repaired);
  const again = await step('open after the repair', () => openScenario(scenario, repaired));
  if (again !== undefined) {
    await use(again, random);
    await emptyAgain(scenario, repaired);
  }
  expectBounded(storage);
  expectBounded(repaired);
  return { opened: disk === undefined ? 0 : 1, repaired: mended === undefined || again === undefined ? 0 : 1 };
}

async function emptyAgain(scenario: Scenario, storage: MemoryStorage): Promise<void> {
  const disk = await step('open once more', () => openScenario(scenario, storage));
  if (disk === undefined) return;
  await step('make empty', () => disk.makeEmpty());
  await step('close', () => disk.close());
}

/** What one repair leaves, another does not find to repair. */
async function expectStable(storage: MemoryStorage): Promise<void> {
  const { result } = await checkStorage(storage, 'all');
  if (result.corruptionsFixed + result.leaksFixed === 0) return;
  const messages = result.findings.map(({ message }) => message).slice(0, 5);
  throw new Error(`a second repair found more to repair: ${messages.join('; ')}`);
}

async function use(disk: GuestDisk, random: Random): Promise<void> {
  const anywhere = random.below(Math.max(1, disk.size));
  for (const at of random.chance(0.5) ? [0, anywhere] : [disk.size - 16_384]) {
    const offset = Math.max(0, at - (at % 512));
    const length = Math.min(16_384, disk.size - offset);
    if (length <= 0) continue;
    const data = patternedBytes(99, offset, Math.min(length, 5000));
    await step('read', () => disk.read(offset, new Uint8Array(length)));
    await step('write', () => disk.write(offset, data, false));
    await step('write zeroes', () => disk.writeZeroes(offset, length, random.chance(0.5)));
    await step('discard', () => disk.discard(offset, length));
    await step('write again', () => disk.write(offset, data.subarray(0, 700), true));
    if (random.chance(0.5)) continue;
    const packed = compressibleBytes(98, offset, Math.min(length, MAX_PACKED));
    await step('write compressed', () => disk.write(offset, packed, false, true));
  }
  await step('flush', () => disk.flush());
  if (disk.snapshots !== undefined && random.chance(0.5)) await useSnapshots(disk.snapshots, random);
  if (random.chance(0.3)) await step('resize', () => disk.resize(random.pick([512, disk.size + 512, disk.size * 2])));
  await step('close', () => disk.close());
}

/** Only the first ones: a hostile table may list thousands. */
async function useSnapshots(snapshots: GuestSnapshots, random: Random): Promise<void> {
  const names = snapshots.names().slice(0, 3);
  for (const name of names) await step('read a snapshot', () => snapshots.read(name, 65_536));
  await step('create a snapshot', () => snapshots.create('another'));
  for (const name of names) {
    if (random.chance(0.4)) await step('apply a snapshot', () => snapshots.apply(name));
    if (random.chance(0.4)) await step('delete a snapshot', () => snapshots.delete(name));
  }
}

let seedImages: Promise<readonly SeedImage[]> | undefined;

/** @throws when anything but a BlockError comes out, or a limit is passed */
export async function runFuzz(seed: number): Promise<SoakCounts> {
  seedImages ??= makeSeedImages();
  const images = await seedImages;
  const random = new Random(seed);
  let opened = 0;
  let repaired = 0;
  for (let number = 0; number < CASES_PER_SEED; number++) {
    const image = random.pick(images);
    const { bytes, ways } = mutate(image.bytes, random);
    const work = random.next();
    try {
      const outcome = await exercise(image.scenario, bytes, new Random(work));
      opened += outcome.opened;
      repaired += outcome.repaired;
    } catch (error) {
      const fixture = await reduce(image, bytes, work);
      throw new Error(
        `seed ${seed}, case ${number} (${image.name}: ${ways.join(', ')}): ${String(error)}\n${JSON.stringify(fixture)}`,
        { cause: error },
      );
    }
  }
  return { images: CASES_PER_SEED, opened, repaired };
}

/** Takes damaged bytes back, run by run, then wipes what does not matter, as long as the case still fails. */
async function reduce(image: SeedImage, bytes: Uint8Array, work: number): Promise<Fixture> {
  let worst = bytes;
  const tryChange = async (from: number, change: Uint8Array): Promise<void> => {
    const milder = worst.slice();
    milder.set(change, from);
    if (milder.every((byte, at) => byte === worst[at])) return;
    const fails = await exercise(image.scenario, milder, new Random(work)).then(
      () => false,
      () => true,
    );
    if (fails) worst = milder;
  };
  for (const [from, to] of differingRuns(image.bytes, bytes)) await tryChange(from, image.bytes.subarray(from, to));
  for (const length of [4096, 512, 64, 8]) {
    for (let from = 0; from + length <= worst.length; from += length) await tryChange(from, new Uint8Array(length));
  }
  return { image: image.name, file: deflateSync(worst, { level: 9 }).toString('base64'), work };
}

/** Runs of bytes that differ in two files. */
function differingRuns(before: Uint8Array, after: Uint8Array): [number, number][] {
  const runs: [number, number][] = [];
  for (let at = 0; at < after.length; at++) {
    if (before[at] === after[at]) continue;
    const last = runs.at(-1);
    if (last?.[1] === at) last[1] = at + 1;
    else runs.push([at, at + 1]);
  }
  return runs;
}

/** Does again what showed a defect once. */
export async function runFixture({ image, file, work }: Fixture): Promise<Outcome> {
  seedImages ??= makeSeedImages();
  const seed = (await seedImages).find(({ name }) => name === image);
  if (seed === undefined) throw new Error(`there is no seed image '${image}'`);
  return exercise(seed.scenario, new Uint8Array(inflateSync(Buffer.from(file, 'base64'))), new Random(work));
}

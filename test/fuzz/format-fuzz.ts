/**
 * Hostile images of any format: small valid ones, damaged by seed in their headers, tables and raw bytes, or cut off. Each is probed,
 * opened, mapped, checked, read, written and repaired, under limits of time and space. Nothing but BlockErrors may come out.
 */
import { start } from '../../src/block/co.ts';
import type { FormatDriver } from '../../src/block/driver.ts';
import { checkImage } from '../../src/block/image/check.ts';
import { imageMap } from '../../src/block/image/map.ts';
import { patternedBytes, Random } from '../support/random.ts';
import { openDisk, type OpenedDisk } from '../support/scenario.ts';
import type { SoakCounts } from '../support/soak.ts';
import { SparseBytes } from '../support/sparse-bytes.ts';
import type { ImageBytes } from '../support/image-bytes.ts';
import { expectBounded, MemoryStorage } from './memory-storage.ts';
import { step } from './step.ts';

/** More than this of a disk is not walked: a hostile header may claim petabytes. */
const MAX_MAPPED_BYTES = 2 ** 30;

/** A part of a file. */
interface Place {
  readonly offset: number;
  readonly length: number;
}

/** A valid file, and where its metadata is. */
interface Sound {
  readonly bytes: SparseBytes;
  readonly places: readonly Place[];
}

export interface FuzzedFormat {
  readonly driver: FormatDriver;
  /** Where it is not the driver's. */
  readonly name?: string | undefined;
  /** A small valid image with data in it, and the file beside it if it has one. */
  sample(random: Random): Promise<SparseBytes | Uint8Array>;
  /** Where its metadata is (of either file), so that damage lands there more often than not. Default: the first and last 4 KiB. */
  places?(image: Uint8Array): readonly Place[];
  /** Makes checksums right again, so that damage is not turned away at the door. Some of the cases are mended. */
  mend?(image: ImageBytes): void;
  /** Bounds what may take long by design, such as trying a passphrase. Done to every case. */
  bound?(image: ImageBytes): void;
  /** Open options. */
  readonly open?: Readonly<Record<string, unknown>>;
}

/** Numbers that programs stumble over. */
function hostileNumber(random: Random): bigint {
  const near = BigInt(random.between(-2, 2));
  const powers = [0n, 1n, 3n, 9n, 12n, 16n, 21n, 31n, 32n, 41n, 52n, 53n, 55n, 62n, 63n, 64n];
  return BigInt.asUintN(64, (1n << random.pick(powers)) + near);
}

function damage(image: SparseBytes, { places }: Sound, random: Random): void {
  for (let count = random.between(1, 4); count > 0; count--) {
    const place = random.chance(0.85) ? random.pick(places) : { offset: 0, length: image.length };
    const width = random.pick([1, 2, 4, 4, 8, 8]);
    const slots = Math.floor(Math.min(place.length, image.length - place.offset) / width);
    if (slots < 1 || place.offset < 0) continue;
    changeNumber(image, place.offset + random.below(slots) * width, width, random);
  }
}

function changeNumber(image: SparseBytes, at: number, width: number, random: Random): void {
  const bytes = new Uint8Array(width);
  const view = new DataView(bytes.buffer);
  const littleEndian = random.chance(0.5);
  const number = random.chance(0.8) ? hostileNumber(random) : BigInt(random.below(2 ** 32));
  if (width === 8) view.setBigUint64(0, BigInt.asUintN(64, number), littleEndian);
  else if (width === 4) view.setUint32(0, Number(BigInt.asUintN(32, number)), littleEndian);
  else if (width === 2) view.setUint16(0, Number(BigInt.asUintN(16, number)), littleEndian);
  else {
    image.read(at, bytes);
    view.setUint8(0, random.chance(0.5) ? bytes[0]! ^ (1 << random.below(8)) : random.below(256));
  }
  image.write(at, bytes);
}

function soundFile(content: SparseBytes, format: FuzzedFormat): Sound {
  const bytes = content.toBytes();
  const known = format.places?.(bytes) ?? [];
  return { bytes: content, places: known.length > 0 ? known : ends(bytes) };
}

function ends(image: Uint8Array): Place[] {
  const length = Math.min(4096, image.length);
  return [
    { offset: 0, length: Math.min(512, length) },
    { offset: 0, length },
    { offset: image.length - length, length },
  ];
}

function mutate(sound: Sound, format: FuzzedFormat, random: Random): SparseBytes {
  const image = sound.bytes.copy();
  damage(image, sound, random);
  if (format.mend !== undefined && random.chance(0.7)) format.mend(image);
  format.bound?.(image);
  if (random.chance(0.1)) image.truncate(random.below(image.length));
  return image;
}

/** One of the files of a sample damaged, the other as it is. */
function damagedFiles(image: Sound, beside: Sound | undefined, format: FuzzedFormat, random: Random): SparseBytes {
  const inside = beside === undefined || random.chance(0.4);
  const content = inside ? mutate(image, format, random) : image.bytes.copy();
  if (beside !== undefined) content.beside = inside ? beside.bytes.copy() : mutate(beside, format, random);
  return content;
}

/** What reads go to: nobody looks at it. */
const readBuffer = new Uint8Array(65_536);

async function use({ graph, disk }: OpenedDisk, random: Random): Promise<void> {
  const size = disk.length;
  await step('map', () => start(imageMap(disk.node, 0, Math.min(size, MAX_MAPPED_BYTES), () => undefined)));
  for (const at of [0, size - 65_536, random.below(Math.max(1, size))]) {
    const offset = Math.max(0, at - (at % 512));
    const length = Math.min(65_536, size - offset);
    if (length <= 0) continue;
    await step('read', () => disk.read(offset, readBuffer.subarray(0, length)));
    if (disk.readOnly) continue;
    const data = patternedBytes(99, offset, Math.min(length, 5120));
    await step('write', () => disk.write(offset, data));
    await step('write zeroes', () => disk.writeZeroes(offset, length, { mayUnmap: random.chance(0.5) }));
    await step('discard', () => disk.discard(offset, length));
  }
  if (!disk.readOnly) await step('flush', () => disk.flush());
  await step('close', () => graph.close(disk));
}

function probe({ driver }: FuzzedFormat, content: SparseBytes): void {
  const size = content.length;
  const [head, tail] = [new Uint8Array(Math.min(4096, size)), new Uint8Array(Math.min(4096, size))];
  content.read(0, head);
  content.read(size - tail.length, tail);
  driver.probe({ head, tail, size, filename: 'a' });
}

async function exercise(format: FuzzedFormat, content: SparseBytes, random: Random): Promise<{ opened: number }> {
  const { driver } = format;
  probe(format, content);
  const storage = new MemoryStorage(content);
  const options = openOptions(format);
  let opened = 0;
  const disk = await step('open', () => openDisk(driver, storage, options));
  if (disk !== undefined) {
    opened = 1;
    await use(disk, random);
  }
  expectBounded(storage);
  if (driver.capabilities.check) await repair(format, content, random);
  return { opened };
}

/** How a case is opened. */
function openOptions({ driver, open }: FuzzedFormat): Readonly<Record<string, unknown>> {
  return driver.capabilities.write ? { ...open } : { ...open, 'read-only': true };
}

async function repair(format: FuzzedFormat, content: SparseBytes, random: Random): Promise<void> {
  const { driver } = format;
  const storage = new MemoryStorage(content);
  const found = await step('open to check', () => openDisk(driver, storage, openOptions(format)));
  if (found === undefined) return;
  const fix = found.disk.readOnly || !driver.capabilities.repair ? 'none' : 'all';
  const result = await step('check', () => start(checkImage(found.graph, found.disk.node, fix)));
  if (result === undefined || fix === 'none') await step('close', () => found.graph.close(found.disk));
  else await use(found, random);
  expectBounded(storage);
}

/** @param cases how many images; one in so many opens. @throws when anything but a BlockError comes out, or a limit is passed */
export async function runFormatFuzz(format: FuzzedFormat, seed: number, cases: number): Promise<SoakCounts> {
  const random = new Random(seed);
  const given = await format.sample(random);
  const sample = given instanceof SparseBytes ? given : SparseBytes.from(given);
  const image = soundFile(sample, format);
  const beside = sample.beside === undefined ? undefined : soundFile(sample.beside, format);
  let opened = 0;
  for (let number = 0; number < cases; number++) {
    const content = damagedFiles(image, beside, format, random);
    try {
      opened += (await exercise(format, content, random.fork())).opened;
    } catch (error) {
      throw new Error(`${format.name ?? format.driver.name} seed ${seed}, case ${number}: ${String(error)}`, {
        cause: error,
      });
    }
  }
  return { images: cases, opened };
}

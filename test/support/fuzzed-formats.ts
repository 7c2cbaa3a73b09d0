/** The formats that the fuzzer of test/fuzz/format-fuzz.ts goes through. Writable ones get a sample by writing to a new image. */
import type { FuzzedFormat } from '../fuzz/format-fuzz.ts';
import { bochs } from '../../src/block/format/bochs/driver.ts';
import { VERSION_1, VERSION_2 } from '../../src/block/format/bochs/layout.ts';
import { cloop } from '../../src/block/format/cloop/driver.ts';
import {
  FIELD,
  KEY_SLOT_BYTES,
  KEY_SLOTS,
  MAX_ITERATIONS,
  MIN_ITERATIONS,
  SLOT_FIELD,
} from '../../src/block/crypto/luks/layout.ts';
import { cdraw } from '../../src/block/format/cdraw/driver.ts';
import { dmg } from '../../src/block/format/dmg/driver.ts';
import { luks } from '../../src/block/format/luks/driver.ts';
import { buildCdRaw } from './cdraw-builder.ts';
import { buildDmg, type BuiltKind } from './dmg-builder.ts';
import { compressibleBytes, patternedBytes, Random } from './random.ts';
import { MAGIC_COWD, SPARSE } from '../../src/block/format/vmdk/layout.ts';
import { magicOf } from '../../src/block/format/vmdk/sparse-header.ts';
import { vmdk } from '../../src/block/format/vmdk/driver.ts';
import { SparseBytes } from './sparse-bytes.ts';
import { makeBochs, makeCloop, sampleDisk } from './read-only-samples.ts';
import { cowdExtent, descriptorText, seSparseExtent, withFooter } from './vmdk-fixture.ts';
import { TEST_SECRET } from './driver-contexts.ts';
import { buildLuks2, luks2Places, mendLuks2 } from './luks2-builder.ts';
import type { ImageBytes } from './image-bytes.ts';
import { LastingStorage, makeImage, openDisk } from './scenario.ts';
import { mendVhdx, vhdxPlaces } from './vhdx-damage.ts';
import { testedFormats, type TestedFormat } from './tested-formats.ts';

const SAMPLE_BYTES = 128 * 1024;
const VMDK_GRAIN = 65_536;
/** Header, directory and the beginning of the table, as the fixtures have them. */
const COWD_PLACES = [
  { offset: 0, length: 32 },
  { offset: 4 * 512, length: 4 },
  { offset: 5 * 512, length: 64 },
];
const SE_SPARSE_PLACES = [
  { offset: 0, length: 208 },
  { offset: 512, length: 32 },
  { offset: 4096 * 512, length: 16 },
  { offset: 4097 * 512, length: 64 },
];

async function writtenSample(format: TestedFormat, random: Random): Promise<SparseBytes> {
  const { driver, create, open, compresses, replaysLog } = format;
  const content = await makeImage(driver, { size: SAMPLE_BYTES, ...create(random) });
  const storage = new LastingStorage({ initial: content });
  const { graph, disk } = await openDisk(driver, storage, open?.(random));
  for (let write = 1; write <= 6; write++) {
    const offset = random.below(disk.length / 512) * 512;
    const length = Math.min(disk.length - offset, 512 * random.between(1, 16));
    const compressed = compresses === true && random.chance(0.5);
    const data = compressed ? compressibleBytes(write, offset, length) : patternedBytes(write, offset, length);
    await disk.write(offset, data.slice(), { compressed });
  }
  await disk.flush();
  // Half of the logs there are have something in them to replay.
  const left = replaysLog === true && random.chance(0.5) ? storage.content.copy() : storage.content;
  await graph.close(disk);
  return left;
}

/** Each grain is written once, and some of the images have their directory at the end. */
async function streamSample(random: Random): Promise<SparseBytes> {
  const content = await makeImage(vmdk, { size: SAMPLE_BYTES * 2, subformat: 'streamOptimized' });
  const storage = new LastingStorage({ initial: content });
  const { graph, disk } = await openDisk(vmdk, storage);
  for (const grain of [0, 2, 3])
    await disk.write(grain * VMDK_GRAIN, compressibleBytes(grain + 1, 0, VMDK_GRAIN).slice());
  await graph.close(disk);
  return random.chance(0.5) ? storage.content : SparseBytes.from(withFooter(storage.content.toBytes()));
}

/** An extent that QEMU cannot make, behind its descriptor. */
async function extentSample(type: string, line: string, extent: Uint8Array): Promise<SparseBytes> {
  const content = SparseBytes.from(new TextEncoder().encode(descriptorText(type, [line])));
  content.beside = SparseBytes.from(extent);
  return content;
}

/** Header, descriptor, both directories and what of their tables is used; of a descriptor the text. */
function vmdkPlaces(image: Uint8Array): { offset: number; length: number }[] {
  const magic = magicOf(image);
  if (magic === undefined)
    return image.length > 2 ** 20 ? SE_SPARSE_PLACES : [{ offset: 0, length: Math.min(image.length, 2048) }];
  if (magic === MAGIC_COWD) return COWD_PLACES;
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const directories = [SPARSE.redundantDirectory, SPARSE.directory].map((at) => view.getUint32(at, true) * 512);
  return [
    { offset: 0, length: 80 },
    { offset: 512, length: 400 },
    ...directories.flatMap((offset) => [
      { offset, length: 16 },
      { offset: offset + 512, length: 32 },
    ]),
  ];
}

/** A header may ask for a minute's work, and gets it. These have no minutes: what is allowed becomes little. */
function boundIterations(image: ImageBytes): void {
  const field = new Uint8Array(4);
  const view = new DataView(field.buffer);
  const slots = Array.from({ length: KEY_SLOTS }, (_, slot) => FIELD.keySlots + slot * KEY_SLOT_BYTES);
  for (const at of [FIELD.keyDigestIterations, ...slots.map((start) => start + SLOT_FIELD.iterations)]) {
    image.read(at, field);
    const count = view.getUint32(0);
    if (count <= MIN_ITERATIONS || count > MAX_ITERATIONS) continue;
    view.setUint32(0, MIN_ITERATIONS);
    image.write(at, field);
  }
}

const DMG_KINDS: readonly BuiltKind[] = ['zlib', 'adc', 'lzfse', 'lzma', 'raw', 'zero'];

async function dmgSample(random: Random): Promise<Uint8Array> {
  const chunks = Array.from({ length: random.between(3, 8) }, (_, index) => {
    const data = patternedBytes(index + 1, 0, 512 * random.between(1, 8)).slice();
    return { kind: random.pick(DMG_KINDS), data };
  });
  return buildDmg([chunks], random.pick(['plist', 'fork'])).bytes;
}

export const fuzzedFormats: readonly FuzzedFormat[] = [
  ...testedFormats.map((format) => ({
    driver: format.driver,
    name: format.name,
    sample: (random: Random) => writtenSample(format, random),
    ...(format.open !== undefined && { open: format.open(new Random(0)) }),
    ...(format.driver.name === 'luks' && { bound: boundIterations }),
    ...(format.driver.name === 'vmdk' && { places: vmdkPlaces }),
    ...(format.driver.name === 'vhdx' && { places: () => vhdxPlaces, mend: mendVhdx }),
  })),
  { driver: dmg, sample: dmgSample },
  {
    driver: luks,
    name: 'luks, version 2',
    sample: (random) =>
      buildLuks2({
        slots: [{ kdf: random.pick(['pbkdf2', 'argon2id', 'argon2i']) }],
        sectorSize: random.pick([512, 4096]),
        content: patternedBytes(1, 0, 65_536),
      }),
    open: { 'key-secret': TEST_SECRET },
    places: () => luks2Places,
    mend: mendLuks2,
  },
  {
    driver: cdraw,
    sample: async () => buildCdRaw(patternedBytes(1, 0, 30_000), (sector) => (sector % 2 === 0 ? 'mode1' : 'form1')),
  },
  { driver: vmdk, name: 'vmdk, streamOptimized', sample: streamSample, places: vmdkPlaces },
  {
    driver: bochs,
    sample: async (random) => {
      const shape = {
        version: random.pick([VERSION_1, VERSION_2]),
        extent: random.pick([512, 4096, 65_536]),
        bitmap: 512,
      };
      return makeBochs(sampleDisk(random, 200), shape);
    },
  },
  { driver: cloop, sample: async (random) => makeCloop(sampleDisk(random, 200), random.pick([512, 4096, 65_536])) },
  {
    driver: vmdk,
    name: 'vmdk, COWD',
    sample: () => extentSample('vmfsSparse', 'RW 40 VMFSSPARSE "beside"', cowdExtent([1, undefined, 3, 4, 5], 8)),
    open: { 'read-only': true },
    places: vmdkPlaces,
  },
  {
    driver: vmdk,
    name: 'vmdk, SESPARSE',
    sample: () =>
      extentSample(
        'seSparse',
        'RW 80 SESPARSE "beside"',
        seSparseExtent(80, { 0: 0, 1: 1, 3: 'unmapped', 4: 'zero', 5: 3 }),
      ),
    open: { 'read-only': true },
    places: vmdkPlaces,
  },
];

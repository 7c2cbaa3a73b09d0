import { describe, expect, it } from 'vitest';
import type { FormatImage } from '../../../../src/block/driver.ts';
import { BlockError } from '../../../../src/block/error.ts';
import type { Extent } from '../../../../src/block/extent.ts';
import { Qcow2Image } from '../../../../src/block/format/qcow2/image.ts';
import { FIELD } from '../../../../src/block/format/qcow2/layout.ts';
import { CountingStorage } from '../../../support/counting-storage.ts';
import { EventChild, openImage, Qcow2File } from '../../../support/qcow2-file.ts';
import { Random } from '../../../support/random.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

const KiB = 1024;
const MiB = KiB ** 2;
const TiB = KiB ** 4;
const COPIED = 1n << 63n;
const CLUSTER = 64 * KiB;

/** An image of 1 MiB with one L2 table, all of whose clusters lie in a row. */
async function preallocated(options: Readonly<Record<string, unknown>> = {}): Promise<Qcow2File> {
  return Qcow2File.create({ size: MiB, preallocation: 'metadata', ...options });
}

async function openCounted(file: Qcow2File, options = {}, readOnly = true) {
  const storage = new CountingStorage(new SimulatedStorage({ initial: file.bytes }));
  const opened = await openImage(storage, options, { readOnly });
  return { ...opened, storage };
}

function mapNow(image: FormatImage, offset: number, length: number): Extent {
  const extent = image.map(offset, length);
  if (extent instanceof Promise) throw new Error('map had to wait');
  return extent;
}

function refusal(image: FormatImage, offset: number): BlockError {
  try {
    mapNow(image, offset, 512);
  } catch (error) {
    if (error instanceof BlockError) return error;
    throw error;
  }
  throw new Error('the entry was accepted');
}

describe('what reads cost', () => {
  it('opening costs two reads, the first map one, those after it none', async () => {
    const { image, storage } = await openCounted(await preallocated());
    expect(storage.take()).toMatchObject({ reads: 2, writes: 0, flushes: 0 });
    mapNow(image, 0, 4096);
    expect(storage.take()).toMatchObject({ reads: 1, readBytes: 4096 });
    for (let offset = 0; offset < MiB; offset += 4096) mapNow(image, offset, 4096);
    expect(storage.take()).toMatchObject({ reads: 0 });
  });

  it('where no table is nothing is read', async () => {
    const { image, storage } = await openCounted(await Qcow2File.create({ size: 10 * 2 ** 30 }));
    storage.take();
    expect(mapNow(image, 700 * MiB, 4096)).toMatchObject({ kind: 'backing', length: 4096 });
    expect(mapNow(image, 1, 10 * 2 ** 30 - 1)).toMatchObject({ kind: 'backing', length: 10 * 2 ** 30 - 1 });
    expect(storage.take()).toMatchObject({ reads: 0 });
  });

  it('several that miss the same slice wait for one read', async () => {
    const file = await preallocated();
    const storage = new CountingStorage(new SimulatedStorage({ initial: file.bytes, random: new Random(1) }));
    const { image } = await openImage(storage, {}, { readOnly: true });
    storage.take();
    const extents = await Promise.all(
      Array.from({ length: 10 }, async (_value, index) => image.map(index * CLUSTER, 512)),
    );
    expect(storage.take()).toMatchObject({ reads: 1 });
    expect(extents.map((extent) => extent.hostOffset - extents[0]!.hostOffset)).toEqual(
      Array.from({ length: 10 }, (_value, index) => index * CLUSTER),
    );
  });

  it('a disk of 1 TiB is read at random through a cache of less than 32 MiB', async () => {
    const file = await Qcow2File.create({ size: TiB });
    const tables = TiB / (512 * MiB);
    // All L1 entries lead to tables of one data cluster each, at made-up places.
    const first = 64 * MiB;
    for (let index = 0; index < tables; index++) {
      file.setUint64(file.l1Entry(index), COPIED | BigInt(first + index * CLUSTER));
      file.setUint64(first + index * CLUSTER + 8 * 4095, COPIED | BigInt(first + (tables + index) * CLUSTER));
    }
    file.bytes.truncate(first + 2 * tables * CLUSTER);
    const { image, storage } = await openCounted(file);
    const random = new Random(7);
    storage.take();
    for (let count = 0; count < 30_000; count++) {
      const table = random.below(tables);
      const offset = table * 512 * MiB + random.below(8192) * CLUSTER + 4096;
      const extent = mapNow(image, offset, 4096);
      const isData = Math.floor(offset / CLUSTER) % 8192 === 4095;
      expect(extent.kind).toBe(isData ? 'data' : 'backing');
    }
    if (!(image instanceof Qcow2Image)) throw new Error('another format');
    const { memoryBytes } = image;
    expect(memoryBytes).toBeGreaterThan(8 * MiB);
    expect(memoryBytes).toBeLessThan(32 * MiB);
    // Slices are read and given up again; none is read twice in a row.
    expect(storage.take().reads).toBeLessThanOrEqual(30_000);
  });

  it('a failed read of a table is reported, and tried again', async () => {
    const file = await preallocated();
    const storage = new SimulatedStorage({ initial: file.bytes });
    const { image, file: child } = await openImage(storage, {}, { readOnly: true });
    const read = child.read.bind(child);
    child.read = () => {
      throw new BlockError('io', 'broken');
    };
    expect(() => image.map(0, 512)).toThrow(/broken/);
    child.read = read;
    expect(mapNow(image, 0, 512).kind).toBe('data');
  });
});

describe('extents', () => {
  it('clusters in a row are one extent, as far as was asked for', async () => {
    const { image } = await openCounted(await preallocated());
    const whole = mapNow(image, 0, MiB);
    expect(whole).toMatchObject({ kind: 'data', length: MiB });
    expect(mapNow(image, 100, 3 * CLUSTER)).toMatchObject({ length: 3 * CLUSTER, hostOffset: whole.hostOffset + 100 });
    expect(mapNow(image, CLUSTER - 1, 1)).toMatchObject({ length: 1, hostOffset: whole.hostOffset + CLUSTER - 1 });
  });

  it('an extent ends where the file position, the kind or the flags change', async () => {
    const file = await preallocated();
    const data = file.uint64(file.l2Entry(0));
    file.setUint64(file.l2Entry(2 * CLUSTER), data + 100n * BigInt(CLUSTER));
    file.setUint64(file.l2Entry(4 * CLUSTER), 0);
    file.setUint64(file.l2Entry(5 * CLUSTER), 0);
    file.setUint64(file.l2Entry(6 * CLUSTER), 1);
    file.setUint64(file.l2Entry(7 * CLUSTER), 1);
    file.setUint64(file.l2Entry(8 * CLUSTER), file.uint64(file.l2Entry(8 * CLUSTER)) | 1n);
    file.setUint64(file.l2Entry(10 * CLUSTER), file.uint64(file.l2Entry(10 * CLUSTER)) & ~COPIED);
    file.bytes.truncate(Number(data & ~COPIED) + 101 * CLUSTER);
    const { image } = await openCounted(file);
    const extents: Extent[] = [];
    for (let offset = 0; offset < MiB; offset += extents.at(-1)!.length)
      extents.push(mapNow(image, offset, MiB - offset));
    const host = Number(data & ~COPIED);
    expect(extents.map(({ kind, length, hostOffset }) => [kind, length / CLUSTER, hostOffset])).toEqual([
      ['data', 2, host],
      ['data', 1, host + 100 * CLUSTER],
      ['data', 1, host + 3 * CLUSTER],
      ['backing', 2, -1],
      ['zero', 2, -1],
      ['zero', 1, host + 8 * CLUSTER],
      ['data', 1, host + 9 * CLUSTER],
      ['data', 1, host + 10 * CLUSTER],
      ['data', 5, host + 11 * CLUSTER],
    ]);
  });

  it.each([512, 1024, 4096, 2 * MiB])('clusters of %i bytes', async (cluster_size) => {
    const { image } = await openCounted(await preallocated({ cluster_size }));
    const first = mapNow(image, 0, 1).hostOffset;
    for (let offset = 0; offset < MiB; offset += 3 * 4096 + 512) {
      expect(mapNow(image, offset, 512)).toMatchObject({ kind: 'data', length: 512, hostOffset: first + offset });
    }
  });

  it('offsets above 4 GiB are right', async () => {
    const file = await preallocated();
    const far = 5 * TiB + 3 * CLUSTER;
    file.setUint64(file.l2Entry(0), COPIED | BigInt(far));
    file.setUint64(file.l2Entry(CLUSTER), COPIED | BigInt(far + CLUSTER));
    file.bytes.truncate(far + 2 * CLUSTER);
    const { image } = await openCounted(file);
    expect(mapNow(image, 512, MiB)).toMatchObject({ hostOffset: far + 512, length: 2 * CLUSTER - 512 });
  });

  it('what lies behind the end of the file is lost, not zero', async () => {
    const file = await preallocated();
    const third = Number(file.uint64(file.l2Entry(2 * CLUSTER)) & ~COPIED);
    // The last cluster that is there may be cut anywhere but before its first byte.
    file.bytes.truncate(third + 1);
    const { image } = await openCounted(file);
    expect(mapNow(image, 0, MiB).length).toBe(3 * CLUSTER);
    const error = refusal(image, 3 * CLUSTER);
    expect(error.kind).toBe('corrupt');
    expect(error.message).toContain('it was cut off');
  });

  it('an L2 table behind the end of the file is none', async () => {
    const file = await preallocated();
    file.setUint64(file.l1Entry(0), COPIED | (1n << 40n));
    const { image } = await openCounted(file);
    expect(refusal(image, 0).message).toContain('where no L2 table can be');
  });

  it('nothing can be written in place before the slice was looked at', async () => {
    const { image } = await openCounted(await preallocated(), {}, false);
    expect(mapNow(image, 0, 512)).toMatchObject({ kind: 'data', writable: false });
    const allocation = await image.allocate!(0, 512);
    expect(allocation).toMatchObject({ copyBefore: 0, copyAfter: 0, hostOffset: mapNow(image, 0, 512).hostOffset });
    await allocation.commit();
    expect(mapNow(image, MiB - 512, 512)).toMatchObject({ kind: 'data', writable: true });
  });
});

describe('entries that cannot be', () => {
  const cases: readonly [string, bigint, BlockError['kind'], RegExp][] = [
    ['reserved high bits', COPIED | (1n << 56n) | 0x100000n, 'corrupt', /offset 131072 has reserved bits set/],
    ['reserved low bits', COPIED | 0x100002n, 'corrupt', /reserved bits set/],
    [
      'an unaligned cluster',
      COPIED | 0x100200n,
      'corrupt',
      /leads to 1049088, which is not the beginning of a cluster/,
    ],
    ['an unaligned reservation', COPIED | 0x100201n, 'corrupt', /not the beginning of a cluster/],
    ['2^53', 1n << 53n, 'corrupt', /2\^53/],
    ['the header', COPIED, 'corrupt', /the header is its data/],
    ['the header as compressed data', (1n << 62n) | 0x8000n, 'corrupt', /the header is its compressed data/],
    ['a compressed cluster at 2^53', (1n << 62n) | (1n << 53n), 'corrupt', /2\^53/],
    ['a compressed cluster in place', (3n << 62n) | 0x100000n, 'corrupt', /compressed and marked as writable/],
  ];

  it.each(cases)('%s', async (_name, entry, kind, message) => {
    const file = await preallocated();
    file.setUint64(file.l2Entry(2 * CLUSTER), entry);
    const { image } = await openCounted(file);
    // What stands beside it can be read.
    expect(mapNow(image, 0, MiB)).toMatchObject({ kind: 'data', length: 2 * CLUSTER });
    const error = refusal(image, 2 * CLUSTER + 512);
    expect(error.kind).toBe(kind);
    expect(error.message).toMatch(message);
    expect(error.context.offset).toBe(2 * CLUSTER);
  });

  it('zero clusters in version 2', async () => {
    const file = await preallocated({ compat: '0.10' });
    file.setUint64(file.l2Entry(0), 1);
    const { image } = await openCounted(file);
    expect(refusal(image, 0).message).toMatch(/version 2/);
  });

  it.each([
    ['reserved bits', (1n << 60n) | 0x40000n, /reserved bits set/],
    ['an unaligned table', COPIED | 0x40200n, /where no L2 table can be/],
  ])('L1 entries with %s', async (_name, entry, message) => {
    const file = await preallocated();
    file.setUint64(Number(file.uint64(FIELD.l1TableOffset)), entry);
    const { image } = await openCounted(file);
    expect(refusal(image, 0).message).toMatch(message);
  });
});

it('tells where it is', async () => {
  const file = await preallocated();
  const { image, file: child } = await openImage(new SimulatedStorage({ initial: file.bytes }));
  mapNow(image, 0, 512);
  expect(child).toBeInstanceOf(EventChild);
  expect(child.events).toEqual(['reftable_load', 'l2_load']);
});

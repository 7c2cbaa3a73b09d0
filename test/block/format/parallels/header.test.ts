import { describe, expect, it } from 'vitest';
import { digest } from '../../../../src/codec/hashes.ts';
import { parallels } from '../../../../src/block/format/parallels/driver.ts';
import { EXTENSION, FEATURE_DIRTY_BITMAP, FIELD, IN_USE } from '../../../../src/block/format/parallels/layout.ts';
import type { ImageNode } from '../../../../src/block/graph/image-node.ts';
import { expectRefused, refusal } from '../../../support/header-fields.ts';
import { LastingStorage, makeImage, openDisk } from '../../../support/scenario.ts';

const CLUSTER = 4096;
const SIZE = 40 * CLUSTER;
const image = async (): Promise<Uint8Array> =>
  (await makeImage(parallels, { size: SIZE, cluster_size: CLUSTER })).toBytes();

const damages: readonly [string, (view: DataView) => void][] = [
  ['not in Parallels format', (view) => view.setUint8(FIELD.magic, 0)],
  ['not in Parallels format', (view) => view.setUint32(FIELD.version, 3, true)],
  ['Zero sectors per track', (view) => view.setUint32(FIELD.tracks, 0, true)],
  ['Too big cluster', (view) => view.setUint32(FIELD.tracks, 0xffffffff, true)],
  ['Catalog too large', (view) => view.setUint32(FIELD.batEntries, 0xffffffff, true)],
  ['nb_bat_entries 100000 does not fit', (view) => view.setUint32(FIELD.batEntries, 100_000, true)],
  ['nb_sectors 100000', (view) => view.setBigUint64(FIELD.nbSectors, 100_000n, true)],
  ['nb_sectors 9223372036854775808', (view) => view.setBigUint64(FIELD.nbSectors, 1n << 63n, true)],
  ['ext_off', (view) => view.setBigUint64(FIELD.extOff, 1n << 60n, true)],
  ['ext_off 1 ', (view) => view.setBigUint64(FIELD.extOff, 1n, true)],
];

describe('a Parallels header', () => {
  it.each(damages)('is refused by the name of what is wrong: %s', async (words, change) => {
    await expectRefused(parallels, await image(), change, words);
  });

  it('that was cut off is refused', async () => {
    for (const length of [0, 4, 40, 100]) {
      expect((await refusal(parallels, (await image()).slice(0, length)))?.kind, String(length)).toBe('corrupt');
    }
  });
});

async function open(bytes: Uint8Array, readOnly: boolean) {
  const storage = new LastingStorage({ initial: bytes, readOnly });
  const opened = await openDisk(parallels, storage, readOnly ? { 'read-only': true } : {});
  return { ...opened, storage };
}

const inUse = (content: Uint8Array): number => new DataView(content.buffer).getUint32(FIELD.inUse, true);

describe('the mark of use', () => {
  it('is set while an image is open for writing', async () => {
    const { graph, disk, storage } = await open(await image(), false);
    expect(inUse(storage.content.toBytes())).toBe(IN_USE);
    await graph.close(disk);
    expect(inUse(storage.content.toBytes())).toBe(0);
  });

  it('makes the image be checked, and leaks cut off; damage is left to a repair', async () => {
    const { graph, disk, storage } = await open(await image(), false);
    await disk.write(0, new Uint8Array(CLUSTER).fill(3));
    await disk.flush();
    const left = storage.content.toBytes();
    await graph.close(disk);
    const longer = new Uint8Array(left.length + 10 * CLUSTER);
    longer.set(left);
    const again = await open(longer, false);
    expect(again.storage.content.length).toBe(left.length);
    await again.graph.close(again.disk);
    new DataView(left.buffer).setUint32(64 + 4, 1000, true);
    await expect(open(left, false)).rejects.toThrow('not closed correctly');
  });
});

/** Puts an extension with one dirty bitmap behind an image. */
function withBitmap(plain: Uint8Array, flags = 0n): Uint8Array {
  const bytes = new Uint8Array(plain.length + CLUSTER);
  bytes.set(plain);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(FIELD.extOff, BigInt(plain.length / 512), true);
  const at = plain.length;
  view.setBigUint64(at, EXTENSION.magic, true);
  view.setBigUint64(at + 24, FEATURE_DIRTY_BITMAP, true);
  view.setBigUint64(at + 32, flags, true);
  view.setUint32(at + 40, 32 + 8, true);
  const data = at + 48;
  view.setBigUint64(data, BigInt(SIZE / 512), true);
  for (let index = 0; index < 16; index++) view.setUint8(data + 8 + index, 0x10 + index);
  view.setUint32(data + 24, 128, true);
  view.setUint32(data + 28, 1, true);
  view.setBigUint64(data + 32, 1n, true);
  seal(bytes, at);
  return bytes;
}

function seal(bytes: Uint8Array, at: number): void {
  bytes.set(digest('md5', bytes.subarray(at + 24, at + CLUSTER)), at + 8);
}

describe('the format extension', () => {
  it('is shown: its dirty bitmaps', async () => {
    const bytes = withBitmap(await image());
    new DataView(bytes.buffer).setUint32(FIELD.inUse, 0x312e3276, true);
    const { graph, disk } = await open(bytes, true);
    const name = '10111213-1415-1617-1819-1a1b1c1d1e1f';
    const { image: opened } = disk.node as ImageNode;
    expect(opened.info().specific).toEqual({ bitmaps: [{ flags: [], name, granularity: 65_536 }] });
    expect(await opened.check!('none')).toMatchObject({ leaks: 0, corruptions: 0 });
    await graph.close(disk);
  });

  it('is not written over, and its bitmaps are known to have missed what was written', async () => {
    const bytes = withBitmap(await image());
    const writer = await open(bytes, false);
    await writer.disk.write(0, new Uint8Array(CLUSTER).fill(3));
    await writer.graph.close(writer.disk);
    const { graph, disk } = await open(writer.storage.content.toBytes(), true);
    const [bitmap] = (disk.node as ImageNode).image.info().specific['bitmaps'] as { flags: string[] }[];
    expect(bitmap!.flags).toEqual(['in-use']);
    await graph.close(disk);
  });

  it('that must be kept up makes the image read-only', async () => {
    await expect(open(withBitmap(await image(), 1n), false)).rejects.toThrow('can be read, not written');
  });

  it.each([
    ['Wrong parallels Format Extension magic', 0, 1, true],
    ['Wrong checksum', 100, 1, false],
    ['data_size 65535', 40, 0xffff, true],
    ['do not end', 40, CLUSTER - 48, true],
    ['for a disk of 1 sectors', 48, 1, true],
    ['granularity 3', 48 + 24, 3, true],
    ['l1_size 2', 48 + 28, 2, true],
    ['l1_table entry 0', 48 + 32, 3, true],
  ] as const)('that is damaged is refused: %s', async (words, at, value, sealed) => {
    const plain = await image();
    const bytes = withBitmap(plain);
    new DataView(bytes.buffer).setUint32(plain.length + at, value, true);
    if (sealed) seal(bytes, plain.length);
    expect((await refusal(parallels, bytes))?.message).toContain(words);
  });
});

describe('an entry of the table', () => {
  it.each([
    [0x7fffffff, 'cut off'],
    [1, 'cut off'],
  ])('that leads to cluster %i, where nothing is, is refused', async (entry, words) => {
    const bytes = await image();
    new DataView(bytes.buffer).setUint32(64, entry, true);
    const { graph, disk } = await open(bytes, true);
    await expect((async () => disk.read(0, new Uint8Array(512)))()).rejects.toThrow(words);
    await graph.close(disk);
  });

  it('of the older kind counts sectors', async () => {
    const bytes = new Uint8Array(512 + 2 * 63 * 512);
    const view = new DataView(bytes.buffer);
    bytes.set(new TextEncoder().encode('WithoutFreeSpace'));
    view.setUint32(FIELD.version, 2, true);
    view.setUint32(FIELD.tracks, 63, true);
    view.setUint32(FIELD.batEntries, 4, true);
    view.setUint32(FIELD.nbSectors, 4 * 63 - 1, true);
    view.setUint32(FIELD.nbSectors + 4, 0xffff, true);
    view.setUint32(64, 1 + 63, true);
    view.setUint32(64 + 8, 1, true);
    bytes.fill(7, 512 + 63 * 512);
    bytes.fill(8, 512, 512 + 63 * 512);
    const { graph, disk, storage } = await open(bytes, false);
    expect(disk.length).toBe((4 * 63 - 1) * 512);
    await disk.write(63 * 512 + 5, new Uint8Array([9]));
    const found = new Uint8Array(disk.length);
    await disk.read(0, found);
    await graph.close(disk);
    expect([found[0], found[63 * 512 + 5], found[2 * 63 * 512], found[3 * 63 * 512]]).toEqual([7, 9, 8, 0]);
    expect(new DataView(storage.content.toBytes().buffer).getUint32(64 + 4, true)).toBe(1 + 2 * 63);
  });
});

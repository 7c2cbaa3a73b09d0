// Formats that are only read: images made by hand, and by another program where there is one, read by QEMU and by this project.
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import type { FormatDriver } from '../../src/block/driver.ts';
import { bochs } from '../../src/block/format/bochs/driver.ts';
import { FIELD as BOCHS, VERSION_1, VERSION_2 } from '../../src/block/format/bochs/layout.ts';
import { cloop } from '../../src/block/format/cloop/driver.ts';
import { FIELD as CLOOP } from '../../src/block/format/cloop/layout.ts';
import { expectRefused, refusal } from '../support/header-fields.ts';
import { describeWithQemu, qemuImg, runTool, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes, Random } from '../support/random.ts';
import { makeBochs, makeCloop, sampleDisk } from '../support/read-only-samples.ts';
import { openDisk } from '../support/scenario.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';

async function ours(driver: FormatDriver, image: Uint8Array, random: Random): Promise<Uint8Array> {
  const storage = new SimulatedStorage({ initial: image, readOnly: true, ...(random.chance(0.5) && { random }) });
  const { graph, disk } = await openDisk(driver, storage, { 'read-only': true });
  const found = new Uint8Array(disk.length);
  await disk.read(0, found);
  for (let read = 0; read < 50; read++) {
    const offset = random.below(disk.length);
    const part = new Uint8Array(Math.min(disk.length - offset, random.between(1, 70_000)));
    await disk.read(offset, part);
    expect(equalBytes(part, found.subarray(offset, offset + part.length))).toBe(true);
  }
  await graph.close(disk);
  return found;
}

/** Both read the image, and find the disk. */
async function expectRead(driver: FormatDriver, image: Uint8Array, disk: Uint8Array, random: Random): Promise<void> {
  using folder = new TemporaryFolder();
  const path = folder.write('image', image);
  const probe = { head: image.subarray(0, 4096), tail: image.subarray(-4096), size: image.length, filename: 'image' };
  const info = JSON.parse(await qemuImg('info', '--output=json', path)) as Record<string, unknown>;
  expect(info['format'] === driver.name).toBe(driver.probe(probe) > 1);
  await qemuImg('convert', '-f', driver.name, '-O', 'raw', path, folder.file('raw'));
  const theirs = folder.read('raw');
  const found = await ours(driver, image, random);
  expect(found.length).toBe(theirs.length);
  expect(equalBytes(found, theirs)).toBe(true);
  expect(equalBytes(found.subarray(0, disk.length), disk)).toBe(true);
}

function missingProgram(): string {
  try {
    execFileSync('which', ['create_compressed_fs'], { stdio: 'ignore' });
    return '';
  } catch {
    return ' (skipped: create_compressed_fs is not installed; Debian has it in cloop-utils)';
  }
}

const missing = missingProgram();

describeWithQemu('cloop', () => {
  it.each([512, 4096, 65_536, 65_536 + 512])('in blocks of %i is read by both', async (blockSize) => {
    const random = new Random(blockSize);
    const disk = sampleDisk(random, 300);
    await expectRead(cloop, makeCloop(disk, blockSize), disk, random);
  });

  it.skipIf(missing !== '')(`of create_compressed_fs is read by both${missing}`, async () => {
    using folder = new TemporaryFolder();
    const random = new Random(7);
    const disk = sampleDisk(random, 1000);
    const path = folder.write('raw', disk);
    execFileSync('create_compressed_fs', ['-B', '65536', path, folder.file('cloop')], { stdio: 'ignore' });
    await expectRead(cloop, folder.read('cloop'), disk, random);
  });

  it.each<[string, (view: DataView) => void]>([
    ['block_size cannot be zero', (view) => view.setUint32(CLOOP.blockSize, 0)],
    ['block_size 513', (view) => view.setUint32(CLOOP.blockSize, 513)],
    ['block_size 67109376', (view) => view.setUint32(CLOOP.blockSize, 64 * 2 ** 20 + 512)],
    ['image requires too many offsets', (view) => view.setUint32(CLOOP.blocks, 0xffffffff)],
    ['n_blocks 100000', (view) => view.setUint32(CLOOP.blocks, 100_000)],
    ['not monotonically increasing at index 2', (view) => view.setBigUint64(CLOOP.offsets + 16, 1n)],
    ['invalid compressed block size at index 2', (view) => view.setBigUint64(CLOOP.offsets + 16, 1n << 40n)],
  ])('that is damaged is refused by both: %s', async (words, change) => {
    const image = makeCloop(sampleDisk(new Random(1), 300), 4096);
    await expectRefused(cloop, image, change, words);
    change(new DataView(image.buffer));
    using folder = new TemporaryFolder();
    // QEMU opens a file that lacks blocks, and fails to read it.
    const { code } = await runTool('qemu-img', [
      'convert',
      '-f',
      'cloop',
      '-O',
      'raw',
      folder.write('a', image),
      folder.file('b'),
    ]);
    expect(code).toBe(1);
  });

  it('with a block whose checksum or stream is wrong fails at that block only', async () => {
    const image = makeCloop(sampleDisk(new Random(1), 300), 4096);
    const view = new DataView(image.buffer);
    const end = Number(view.getBigUint64(CLOOP.offsets + 8 * 3));
    image[end - 1]! ^= 1;
    const storage = new SimulatedStorage({ initial: image, readOnly: true });
    const { graph, disk } = await openDisk(cloop, storage, { 'read-only': true });
    await disk.read(0, new Uint8Array(8192));
    await expect((async () => disk.read(8192, new Uint8Array(512)))()).rejects.toThrow('its checksum');
    await graph.close(disk);
  });

  it('that was cut off is refused', async () => {
    const image = makeCloop(sampleDisk(new Random(1), 300), 4096);
    for (const length of [0, 100, 140, image.length - 1]) {
      expect((await refusal(cloop, image.slice(0, length)))?.kind, String(length)).toBe('corrupt');
    }
  });
});

describeWithQemu('bochs', () => {
  it.each([
    { version: VERSION_1, extent: 512, bitmap: 1 },
    { version: VERSION_2, extent: 512, bitmap: 512 },
    { version: VERSION_2, extent: 4096, bitmap: 1 },
    { version: VERSION_1, extent: 32_768, bitmap: 8 },
    { version: VERSION_2, extent: 65_536, bitmap: 1024 },
    { version: VERSION_2, extent: 2 ** 20, bitmap: 512 },
  ])('is read by both: %o', async (shape) => {
    const random = new Random(shape.extent);
    const disk = sampleDisk(random, 300);
    await expectRead(bochs, makeBochs(disk, shape), disk, random);
  });

  const shape = { version: VERSION_2, extent: 4096, bitmap: 512 };

  it.each<[string, (view: DataView) => void]>([
    ['not in Bochs format', (view) => view.setUint8(BOCHS.magic, 0)],
    ['not in Bochs format', (view) => view.setUint8(BOCHS.type, 0)],
    ['not in Bochs format', (view) => view.setUint8(BOCHS.subtype, 0)],
    ['not in Bochs format', (view) => view.setUint32(BOCHS.version, 3, true)],
    ['Catalog size 1048577 is too large', (view) => view.setUint32(BOCHS.catalog, 0x100001, true)],
    ['Catalog size 1 is too small', (view) => view.setUint32(BOCHS.catalog, 1, true)],
    ['too small for this disk size', (view) => view.setBigUint64(BOCHS.disk2, 1n << 63n, true)],
    ['must be at least 512', (view) => view.setUint32(BOCHS.extent, 256, true)],
    ['is not a power of two', (view) => view.setUint32(BOCHS.extent, 4608, true)],
    ['Extent size 16777216 is too large', (view) => view.setUint32(BOCHS.extent, 2 ** 24, true)],
  ])('that is damaged is refused by both: %s', async (words, change) => {
    const image = makeBochs(sampleDisk(new Random(1), 300), shape);
    await expectRefused(bochs, image, change, words);
    change(new DataView(image.buffer));
    using folder = new TemporaryFolder();
    const { code } = await runTool('qemu-img', ['info', '-f', 'bochs', folder.write('a', image)]);
    expect(code).toBe(1);
  });

  it('with a bitmap that is too small or a header that is too short is refused', async () => {
    const image = makeBochs(sampleDisk(new Random(1), 300), { ...shape, extent: 65_536 });
    await expectRefused(bochs, image, (view) => view.setUint32(BOCHS.bitmap, 1, true), 'bitmap size 1');
    await expectRefused(bochs, image, (view) => view.setUint32(BOCHS.header, 8, true), 'header of 8 bytes');
  });

  it('that was cut off is refused, or fails where bytes are missing: never zeroes', async () => {
    const disk = new Uint8Array(65_536).fill(7);
    const image = makeBochs(disk, shape);
    for (const length of [0, 50, 520]) {
      expect((await refusal(bochs, image.slice(0, length)))?.kind, String(length)).toBe('corrupt');
    }
    for (const lost of [1, 4097]) {
      const storage = new SimulatedStorage({ initial: image.slice(0, image.length - lost), readOnly: true });
      const opened = await openDisk(bochs, storage, { 'read-only': true });
      await expect((async () => opened.disk.read(0, new Uint8Array(4096)))()).rejects.toThrow('cut off');
      await opened.disk.read(4096, new Uint8Array(4096));
      await opened.graph.close(opened.disk);
    }
  });
});

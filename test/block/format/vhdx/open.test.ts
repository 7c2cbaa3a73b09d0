// What is refused when an image is opened, read or checked, field by field, and what is not.
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { vhdx } from '../../../../src/block/format/vhdx/driver.ts';
import { guidBytes } from '../../../../src/block/format/shared/guid.ts';
import { checkImage } from '../../../../src/block/image/check.ts';
import { equalBytes } from '../../../support/random.ts';
import { LastingStorage, openDisk, type OpenedDisk } from '../../../support/scenario.ts';
import {
  BAT,
  DATA,
  HEADERS,
  METADATA,
  METADATA_ITEMS,
  MiB,
  REGION_TABLES,
  VhdxFile,
} from '../../../support/vhdx-file.ts';

const UNKNOWN = '01234567-89ab-cdef-0123-456789abcdef';

async function open(file: VhdxFile, readOnly = true): Promise<OpenedDisk> {
  return openDisk(vhdx, new LastingStorage({ initial: file.bytes }), { 'read-only': readOnly });
}

async function expectRefused(file: VhdxFile, message: RegExp, kind = 'corrupt'): Promise<void> {
  await expect(open(file)).rejects.toMatchObject({ kind, message: expect.stringMatching(message) as string });
}

async function firstBytes(file: VhdxFile, length = 16): Promise<Uint8Array> {
  const { graph, disk } = await open(file);
  const bytes = new Uint8Array(length);
  await disk.read(0, bytes);
  await graph.close(disk);
  return bytes;
}

/** A file whose first block is at `DATA`, full of sevens. */
async function withBlock(): Promise<VhdxFile> {
  const file = await VhdxFile.create();
  const bytes = new Uint8Array(DATA + MiB);
  bytes.set(file.bytes);
  bytes.fill(7, DATA);
  return new VhdxFile(bytes).setBat(0, 6, DATA / MiB);
}

describe('VHDX headers', () => {
  it('count by their sequence number', async () => {
    const file = await VhdxFile.create();
    // The second one is newer; what the first one says of the log is of no interest.
    file.change((view) => view.setUint32(HEADERS[0] + 68, 5, true));
    await expect(open(file)).resolves.toBeDefined();
    file.change((view) => view.setBigUint64(HEADERS[0] + 8, 9n, true));
    await expectRefused(file, /log length 5/);
  });

  it('count only when they are whole', async () => {
    const file = await VhdxFile.create();
    file.bytes[HEADERS[1] + 100]! ^= 1;
    await expect(open(file)).resolves.toBeDefined();
    file.bytes[HEADERS[0] + 100]! ^= 1;
    await expectRefused(file, /No valid VHDX header/);
  });

  it('may be the same, and must not contradict one another', async () => {
    const file = await VhdxFile.create();
    file.bytes.copyWithin(HEADERS[0], HEADERS[1], HEADERS[1] + 4096);
    await expect(open(file)).resolves.toBeDefined();
    file.change((view) => view.setUint8(HEADERS[0] + 20, 1));
    await expectRefused(file, /same sequence number/);
  });

  it.each([
    ['version', 66, (view: DataView, at: number) => view.setUint16(at, 2, true), /No valid VHDX header/],
    [
      'log offset inside the headers',
      72,
      (view: DataView, at: number) => view.setUint32(at, 4096, true),
      /log offset 4096/,
    ],
    [
      'log over the BAT',
      72,
      (view: DataView, at: number) => view.setUint32(at, BAT, true),
      /BAT at .* overlaps the log|log at .* overlaps the BAT/,
    ],
  ] as const)('are refused for their %s', async (_name, at, set, message) => {
    const file = await VhdxFile.create();
    await expectRefused(
      file.change((view) => HEADERS.forEach((header) => set(view, header + at))),
      message,
    );
  });

  it('get new GUIDs with the first write, and not before', async () => {
    const file = await VhdxFile.create();
    const storage = new LastingStorage({ initial: file.bytes });
    const first = await openDisk(vhdx, storage);
    await first.disk.flush();
    await first.graph.close(first.disk);
    expect(equalBytes(storage.content.toBytes(), file.bytes)).toBe(true);
    const second = await openDisk(vhdx, storage);
    await second.disk.write(0, new Uint8Array(512).fill(1));
    await second.graph.close(second.disk);
    const after = storage.content.toBytes();
    for (const at of [16, 32]) {
      expect(after.subarray(HEADERS[0] + at, HEADERS[0] + at + 16)).not.toEqual(
        file.bytes.subarray(HEADERS[0] + at, HEADERS[0] + at + 16),
      );
    }
    for (const header of HEADERS) expect(after.subarray(header + 48, header + 64)).toEqual(new Uint8Array(16));
  });
});

describe('VHDX region tables', () => {
  it('are there twice', async () => {
    const file = await VhdxFile.create();
    file.bytes[REGION_TABLES[0] + 20]! ^= 1;
    await expect(open(file)).resolves.toBeDefined();
    file.bytes[REGION_TABLES[1] + 20]! ^= 1;
    await expectRefused(file, /Both VHDX region tables/);
  });

  it.each([
    ['too many entries', 8, 2048, /2048 entries/],
    ['no metadata region', 8, 1, /no metadata region/],
    ['a BAT inside the headers', 32, 0, /BAT at 0/],
    ['a BAT not in whole MiB', 32, 3 * MiB + 4096, /BAT at .* not in whole MiB/],
    ['a BAT behind the end', 32, 64 * MiB, /BAT at 67108864.*does not fit/],
    ['a BAT over the metadata', 32, METADATA, /overlaps/],
    ['an empty BAT', 40, 0, /BAT at .* empty/],
  ] as const)('are refused for %s', async (_name, at, value, message) => {
    const file = await VhdxFile.create();
    await expectRefused(
      file.change((view) => REGION_TABLES.forEach((table) => view.setUint32(table + at, value, true))),
      message,
    );
  });

  it.each([0, 1])('may have a region that is not known unless it is required: %i', async (required) => {
    const file = await VhdxFile.create();
    const longer = new Uint8Array(DATA + MiB);
    longer.set(file.bytes);
    file.bytes = longer;
    file.change((view, bytes) => {
      for (const table of REGION_TABLES) {
        view.setUint32(table + 8, 3, true);
        bytes.set(guidBytes(UNKNOWN), table + 80);
        view.setUint32(table + 96, DATA, true);
        view.setUint32(table + 104, MiB, true);
        view.setUint32(table + 108, required, true);
      }
    });
    if (required === 0) await expect(open(file)).resolves.toBeDefined();
    else await expectRefused(file, new RegExp(`needs region ${UNKNOWN}`), 'unsupported');
    // And no block is where it is.
    if (required === 0) await expect(firstBytes(file.setBat(0, 6, DATA / MiB))).rejects.toThrow(/lies over the region/);
  });
});

describe('VHDX metadata', () => {
  const item = (index: number): number => METADATA + 32 + index * 32;

  it.each([
    ['no signature', METADATA, 0, /no VHDX metadata table/],
    ['a missing item', METADATA + 10, 4, /no physicalSectorSize/],
    ['an item in the table', item(0) + 16, 4096, /fileParameters.*not inside/],
    ['an item behind the region', item(0) + 16, MiB, /fileParameters.*not inside/],
    ['an item of another length', item(3) + 20, 8, /logicalSectorSize.*8 bytes/],
    ['a small block', METADATA_ITEMS, 65_536, /block size 65536/],
    ['a large block', METADATA_ITEMS, 512 * MiB, /block size 536870912/],
    ['an odd block', METADATA_ITEMS, 3 * MiB, /block size 3145728/],
    ['a size that is not whole sectors', METADATA_ITEMS + 8, 1000, /virtual disk size 1000/],
    ['a size of petabytes', METADATA_ITEMS + 12, 0xffff, /virtual disk size/],
    ['a size that the BAT has no room for', METADATA_ITEMS + 12, 0x40, /needs .* bytes, and its region has/],
    ['other sectors', METADATA_ITEMS + 32, 520, /logical sector size 520/],
    ['other physical sectors', METADATA_ITEMS + 36, 1024, /physical sector size 1024/],
  ] as const)('is refused for %s', async (_name, at, value, message) => {
    const file = await VhdxFile.create();
    await expectRefused(
      file.change((view) => (at === METADATA + 10 ? view.setUint16(at, value, true) : view.setUint32(at, value, true))),
      message,
    );
  });

  it('says that a disk has a parent, which is refused by name', async () => {
    const file = await VhdxFile.create();
    await expectRefused(
      file.change((view) => view.setUint32(METADATA_ITEMS + 4, 2, true)),
      /Differencing VHDX/,
      'unsupported',
    );
  });

  it('may have items that are not known unless they are required', async () => {
    const file = await VhdxFile.create();
    file.change((view, bytes) => {
      view.setUint16(METADATA + 10, 6, true);
      bytes.set(guidBytes(UNKNOWN), item(5));
    });
    await expect(open(file)).resolves.toBeDefined();
    file.change((view) => view.setUint32(item(5) + 24, 4, true));
    await expectRefused(file, new RegExp(`needs metadata item ${UNKNOWN}`), 'unsupported');
  });

  it('may say that sectors have 4 KiB: then a chunk has more blocks, and any range can be written still', async () => {
    const file = await VhdxFile.create();
    file.change((view) => view.setUint32(METADATA_ITEMS + 32, 4096, true));
    const storage = new LastingStorage({ initial: file.bytes });
    const { graph, disk } = await openDisk(vhdx, storage);
    await disk.write(2 * MiB + 512, new Uint8Array(512).fill(5));
    await graph.close(disk);
    const again = await openDisk(vhdx, storage, { 'read-only': true });
    const found = new Uint8Array(1536);
    await again.disk.read(2 * MiB, found);
    expect([found[511], found[512], found[1023], found[1024]]).toEqual([0, 5, 5, 0]);
    await again.graph.close(again.disk);
  });
});

describe('VHDX blocks', () => {
  it.each([0, 1, 2, 3, 5])('of state %i are zeroes', async (state) => {
    const file = (await withBlock()).setBat(0, state, DATA / MiB);
    expect(await firstBytes(file)).toEqual(new Uint8Array(16));
  });

  it.each([
    ['partially present', 7, DATA / MiB, /partially present/],
    ['of a state that does not exist', 4, DATA / MiB, /state 4/],
    ['over the log', 6, 1, /lies over the log/],
    ['over the headers', 6, 0, /lies over the header section/],
    ['behind the end', 6, 5, /points after the end of the file/],
    ['beyond 2^53', 6, 2 ** 43, /points after the end of the file/],
  ] as const)('%s are refused, and a check finds them', async (_name, state, mib, message) => {
    const file = (await withBlock()).setBat(0, state, mib);
    await expect(firstBytes(file)).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringMatching(message) as string,
    });
    const { graph, disk } = await open(file);
    const result = await startAsync(checkImage(graph, disk.node, 'none'));
    expect(result).toMatchObject({ corruptions: 1, leaks: 0 });
    expect(result.findings[0]!.message).toMatch(message);
    await graph.close(disk);
  });

  it('at one place are found by a check', async () => {
    const file = (await withBlock()).setBat(1, 6, DATA / MiB);
    const { graph, disk } = await open(file);
    const result = await startAsync(checkImage(graph, disk.node, 'none'));
    expect(result).toMatchObject({ corruptions: 1, totalClusters: 3, allocatedClusters: 2 });
    await graph.close(disk);
  });

  it('have entries of sector bitmaps between them: the disk of several chunks is read and written', async () => {
    // Blocks of 256 MiB: a chunk has 16 of them, and the 17th entry is a bitmap's.
    const file = await VhdxFile.create({ size: 40 * 256 * MiB, block_size: 256 * MiB });
    const storage = new LastingStorage({ initial: file.bytes });
    const { graph, disk } = await openDisk(vhdx, storage);
    for (const block of [15, 16, 31, 32, 39]) {
      await disk.write(block * 256 * MiB + 4096, new Uint8Array(512).fill(block));
    }
    await graph.close(disk);
    const bat = new Uint8Array(64 * 8);
    storage.content.read(BAT, bat);
    const states = Array.from({ length: 48 }, (_, index) => bat[index * 8]! & 7);
    const used = states.flatMap((state, index) => (state === 6 ? [index] : []));
    expect(used).toEqual([15, 17, 32, 34, 41]);
    expect([states[16], states[33]]).toEqual([0, 0]);
    const again = await openDisk(vhdx, storage, { 'read-only': true });
    for (const block of [15, 16, 31, 32, 39]) {
      const found = new Uint8Array(512);
      await again.disk.read(block * 256 * MiB + 4096, found);
      expect(found).toEqual(new Uint8Array(512).fill(block));
    }
    await again.graph.close(again.disk);
  });
});

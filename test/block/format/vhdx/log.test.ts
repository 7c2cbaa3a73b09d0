// Logs made by hand after the specification: which entries count, what a replay does, and when it is refused.
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { vhdx } from '../../../../src/block/format/vhdx/driver.ts';
import { checkImage } from '../../../../src/block/image/check.ts';
import { equalBytes } from '../../../support/random.ts';
import { LastingStorage, openDisk } from '../../../support/scenario.ts';
import { BAT, batSector, DATA, HEADERS, MiB, VhdxFile, type Entry } from '../../../support/vhdx-file.ts';

const SECTOR = 4096;

async function dirtyFile(...entries: readonly Entry[]): Promise<VhdxFile> {
  const created = await VhdxFile.create();
  // Room for blocks that entries lead to.
  const bytes = new Uint8Array(DATA + 4 * MiB);
  bytes.set(created.bytes);
  const file = new VhdxFile(bytes).openLog();
  for (const entry of entries) file.log(entry);
  return file;
}

/** Opens for writing, which replays. @returns the file afterwards */
async function replayed(file: VhdxFile): Promise<Uint8Array> {
  const storage = new LastingStorage({ initial: file.bytes });
  const { graph, disk } = await openDisk(vhdx, storage);
  await graph.close(disk);
  const bytes = storage.content.toBytes();
  for (const header of HEADERS) expect(bytes.subarray(header + 48, header + 64)).toEqual(new Uint8Array(16));
  return bytes;
}

const batOf = (bytes: Uint8Array): Uint8Array => bytes.subarray(BAT, BAT + SECTOR);
const first = { at: BAT, data: batSector(4) };
const second = { at: BAT, data: batSector(4, 5) };
const third = { at: BAT, data: batSector(4, 5, 6) };

describe('a VHDX log', () => {
  it('is replayed from its tail to its head', async () => {
    const file = await dirtyFile(
      { position: 0, sequence: 7, changes: [first, { at: DATA, data: new Uint8Array(SECTOR).fill(9) }] },
      { position: 3 * SECTOR, sequence: 8, tail: 0, changes: [second] },
    );
    const bytes = await replayed(file);
    expect(batOf(bytes)).toEqual(batSector(4, 5));
    expect(bytes.subarray(DATA, DATA + SECTOR)).toEqual(new Uint8Array(SECTOR).fill(9));
  });

  it('is replayed only from the tail of its newest entry on', async () => {
    const file = await dirtyFile(
      { position: 0, sequence: 7, changes: [{ at: DATA, data: new Uint8Array(SECTOR).fill(9) }] },
      { position: 2 * SECTOR, sequence: 8, changes: [second] },
    );
    const bytes = await replayed(file);
    expect(batOf(bytes)).toEqual(batSector(4, 5));
    expect(bytes[DATA]).toBe(0);
  });

  it('may go around its end', async () => {
    const file = await dirtyFile(
      { position: MiB - 3 * SECTOR, sequence: 1, changes: [first] },
      { position: MiB - SECTOR, sequence: 2, tail: MiB - 3 * SECTOR, changes: [third] },
      { position: SECTOR, sequence: 3, tail: MiB - 3 * SECTOR, changes: [{ at: DATA, data: batSector(1) }] },
    );
    const bytes = await replayed(file);
    expect(batOf(bytes)).toEqual(batSector(4, 5, 6));
    expect(bytes.subarray(DATA, DATA + SECTOR)).toEqual(batSector(1));
  });

  it('may have zeroes to be written', async () => {
    const file = await dirtyFile({ position: 0, sequence: 1, changes: [{ at: DATA, zeroes: 2 * SECTOR }] });
    file.bytes.fill(3, DATA, DATA + 3 * SECTOR);
    const bytes = await replayed(file);
    expect(bytes.subarray(DATA, DATA + 2 * SECTOR)).toEqual(new Uint8Array(2 * SECTOR));
    expect(bytes[DATA + 2 * SECTOR]).toBe(3);
  });

  it('ends before an entry that was not written to its end', async () => {
    const file = await dirtyFile({ position: 0, sequence: 1, changes: [first] });
    file.tornLog({ position: 2 * SECTOR, sequence: 2, tail: 0, changes: [second] });
    expect(batOf(await replayed(file))).toEqual(batSector(4));
  });

  it('ends before an entry of which the checksum alone is right', async () => {
    const file = await dirtyFile(
      { position: 0, sequence: 1, changes: [first] },
      { position: 2 * SECTOR, sequence: 2, tail: 0, changes: [second] },
    );
    // The data sector is an older entry's.
    file.change((view) => view.setUint32(MiB + 4 * SECTOR - 4, 1, true));
    expect(batOf(await replayed(file))).toEqual(batSector(4));
  });

  it('is nothing where the tail of its newest entry is not there', async () => {
    const file = await dirtyFile(
      { position: 0, sequence: 1, changes: [first] },
      { position: 8 * SECTOR, sequence: 5, tail: 4 * SECTOR, changes: [third] },
    );
    expect(batOf(await replayed(file))).toEqual(batSector(4));
  });

  it('takes no entries of another session', async () => {
    const file = await dirtyFile(
      { position: 0, sequence: 1, changes: [first] },
      { position: 2 * SECTOR, sequence: 2, guid: '00000000-0000-0000-0000-000000000001', changes: [third] },
    );
    expect(batOf(await replayed(file))).toEqual(batSector(4));
  });

  it('that is empty stands in the way of nobody', async () => {
    const file = await dirtyFile();
    const storage = new LastingStorage({ initial: file.bytes });
    const reading = await openDisk(vhdx, storage, { 'read-only': true });
    await reading.graph.close(reading.disk);
    const { graph, disk } = await openDisk(vhdx, storage);
    await disk.write(0, new Uint8Array(512).fill(1));
    await graph.close(disk);
    expect(storage.content.toBytes()[BAT]).toBe(6);
  });

  it('makes the file as long as it was', async () => {
    const file = await dirtyFile({ position: 0, sequence: 1, last: DATA + 6 * MiB, changes: [first] });
    expect((await replayed(file)).length).toBe(DATA + 6 * MiB);
  });

  it.each([
    ['a file that was cut off', { flushed: DATA + 8 * MiB, changes: [first] }, /cut off/],
    ['a file without end', { last: 2 ** 52, changes: [first] }, /4503599627370496 bytes long/],
    ['data behind the end', { changes: [first, { at: 64 * MiB, data: batSector() }] }, /67108864/],
    ['zeroes behind the end', { changes: [first, { at: DATA, zeroes: 2n ** 60n }] }, /1152921504606846976 bytes/],
    ['data between sectors', { changes: [{ at: BAT + 512, data: batSector() }] }, /not whole sectors/],
  ] as const)('is refused with nothing changed for %s', async (_name, entry, message) => {
    const file = await dirtyFile({ position: 0, sequence: 1, ...entry });
    const storage = new LastingStorage({ initial: file.bytes });
    await expect(openDisk(vhdx, storage)).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringMatching(message) as string,
    });
    expect(equalBytes(storage.content.toBytes(), file.bytes)).toBe(true);
  });

  it('of many entries one over the other is given up', async () => {
    const file = await dirtyFile();
    // Each says that it is nearly the whole log, and none is whole.
    for (let sector = 0; sector < 255; sector++) {
      file.log({ position: sector * SECTOR, sequence: sector + 1, changes: [{ at: DATA, zeroes: SECTOR }] });
      file.view.setUint32(MiB + sector * SECTOR + 8, MiB - SECTOR, true);
    }
    await expect(openDisk(vhdx, new LastingStorage({ initial: file.bytes }))).rejects.toThrow(/lie over one another/);
  });

  it('is not replayed where nothing may be written: the image is refused, but for a check', async () => {
    const file = await dirtyFile({ position: 0, sequence: 1, changes: [first] });
    const storage = new LastingStorage({ initial: file.bytes });
    await expect(openDisk(vhdx, storage, { 'read-only': true })).rejects.toMatchObject({
      kind: 'permission',
      message: expect.stringContaining('opened read-only, but contains a log that needs to be replayed') as string,
    });
    const { graph, disk } = await openDisk(vhdx, storage, { 'read-only': true }, undefined, { check: true });
    expect(await startAsync(checkImage(graph, disk.node, 'none'))).toMatchObject({ corruptions: 1 });
    await expect(Promise.resolve().then(() => disk.read(0, new Uint8Array(512)))).rejects.toThrow(/must be replayed/);
    await graph.close(disk);
    expect(equalBytes(storage.content.toBytes(), file.bytes)).toBe(true);
  });

  it('that was replayed counts as a corruption that a check has mended', async () => {
    const file = await dirtyFile({ position: 0, sequence: 1, changes: [first] });
    const { graph, disk } = await openDisk(vhdx, new LastingStorage({ initial: file.bytes }));
    expect(await startAsync(checkImage(graph, disk.node, 'all'))).toMatchObject({
      corruptions: 0,
      corruptionsFixed: 1,
    });
    await graph.close(disk);
  });
});

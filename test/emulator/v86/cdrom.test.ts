// v86's release build, driven through its ports: what a guest's driver sees of the CD drive and its tray.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { V86 } from 'v86';
import { BlockError } from '../../../src/block/error.ts';
import {
  attachDrives,
  v86Disk,
  v86DiskSync,
  type V86Disk,
  type V86Drives,
  type V86RemovableDrive,
} from '../../../src/emulator/v86/index.ts';
import { FakeDisk, FakeSynchronousDisk, held, patterned, settled } from '../../support/fake-disk.ts';
import { BUSY, DATA_REQUEST, ERROR, idleMachine, IdePorts } from '../../support/v86-ports.ts';

const TEST_UNIT_READY = [0x00];
const REQUEST_SENSE = [0x03, 0, 0, 0, 18];
const READ_CAPACITY = [0x25];
const LOCK = [0x1e, 0, 0, 0, 1];
const UNLOCK = [0x1e, 0, 0, 0, 0];
const OPEN_TRAY = [0x1b, 0, 0, 0, 2];
const CLOSE_TRAY = [0x1b, 0, 0, 0, 3];
const ADDRESS = 0x20000;
const SECTORS = 300;

let machine: V86;
let drives: V86Drives;
let cdrom: V86RemovableDrive;
let ports: IdePorts;
let disk: FakeDisk;
let tray: boolean[];

function readPacket(lba: number, count: number): number[] {
  return [0x28, 0, lba >> 24, (lba >> 16) & 0xff, (lba >> 8) & 0xff, lba & 0xff, 0, count >> 8, count & 0xff];
}

/** The same with a count of 32 bits. */
function readPacket12(lba: number, count: number): number[] {
  return [0xa8, 0, lba >> 24, (lba >> 16) & 0xff, (lba >> 8) & 0xff, lba & 0xff, 0, 0, count >> 8, count & 0xff];
}

function cd(sectors = SECTORS): FakeDisk {
  const found = new FakeDisk(patterned(sectors * 2048));
  found.readOnly = true;
  return found;
}

/** Sends a packet command and returns sense key and additional code: [0, 0] for success. */
async function sense(packet: readonly number[]): Promise<[number, number]> {
  ports.packet(packet);
  await settled();
  if ((ports.status & ERROR) === 0) return [0, 0];
  ports.packet(REQUEST_SENSE);
  const data = ports.readData(18);
  return [data[2]! & 0x0f, data[12]!];
}

/** Until the drive is ready, as a driver does after a change. */
async function waitReady(): Promise<[number, number][]> {
  const seen: [number, number][] = [];
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const found = await sense(TEST_UNIT_READY);
    if (found[0] === 0) return seen;
    seen.push(found);
  }
  return seen;
}

async function capacity(): Promise<number> {
  ports.packet(READ_CAPACITY);
  await settled();
  return new DataView(ports.readData(8).buffer).getUint32(0) + 1;
}

async function readDma(lba: number, count: number): Promise<Uint8Array> {
  ports.packet(readPacket(lba, count), true);
  ports.startDma(ADDRESS, count * 2048);
  await settled();
  return ports.memory.slice(ADDRESS, ADDRESS + count * 2048);
}

/** The registers at the end of a packet command that failed, and the whole of its sense: key, code and qualifier. */
function expectCheckCondition(key: number, code: number): void {
  expect(ports.status & (BUSY | DATA_REQUEST | ERROR)).toBe(ERROR);
  expect(ports.error).toBe(key << 4);
  expect(ports.interruptReason).toBe(3);
  expect(ports.interrupt).toBe(true);
  ports.packet(REQUEST_SENSE);
  const data = ports.readData(18);
  expect([data[2], data[12], data[13]]).toEqual([key, code, 0]);
}

async function start(image?: FakeDisk): Promise<void> {
  await startWith(image && v86Disk(image, { onError: () => {} }));
}

async function startWith(image: V86Disk | undefined): Promise<void> {
  machine = idleMachine({ ...(image && { cdrom: image }) });
  tray = [];
  drives = await attachDrives(machine, { onTray: ({ open }) => tray.push(open) });
  cdrom = drives.cdrom!;
  ports = new IdePorts(machine, 1);
}

beforeEach(async () => {
  disk = cd();
  await start(disk);
});

afterEach(async () => {
  await machine.destroy();
});

describe('reading', () => {
  test('by DMA and by PIO', async () => {
    expect(await readDma(10, 8)).toEqual(disk.bytes.subarray(10 * 2048, 18 * 2048));
    expect(ports.status & (BUSY | ERROR)).toBe(0);
    ports.packet(readPacket(4, 1));
    await settled();
    expect(ports.readData(2048)).toEqual(disk.bytes.subarray(4 * 2048, 5 * 2048));
    expect(await capacity()).toBe(SECTORS);
  });

  test('an error has the sense of a medium error', async () => {
    disk.onRead = () => Promise.reject(new BlockError('io', 'gone'));
    expect(await sense(readPacket(200, 1))).toEqual([3, 0x11]);
    await readDma(200, 1);
    expect(ports.status & ERROR).toBe(ERROR);
    expect(ports.busMasterStatus & 1).toBe(0);
    expect(ports.interrupt).toBe(true);
    disk.onRead = undefined;
    expect(await readDma(200, 1)).toEqual(disk.bytes.subarray(200 * 2048, 201 * 2048));
  });

  describe.each([
    ['READ (10)', readPacket],
    ['READ (12)', readPacket12],
  ])('%s that fails in its last sector', (_name, packet) => {
    beforeEach(async () => {
      disk.onRead = (offset, length) => {
        if (offset + length > 24 * 2048) throw new BlockError('io', 'gone');
      };
      // The sectors before it are in the cache.
      expect(await readDma(20, 4)).toEqual(disk.bytes.subarray(20 * 2048, 24 * 2048));
      ports.memory.fill(0xee, ADDRESS, ADDRESS + 5 * 2048);
    });

    test('by PIO: check condition, and no data', async () => {
      ports.packet(packet(20, 5));
      await settled();
      expectCheckCondition(3, 0x11);
    });

    test('by DMA: check condition, and memory is as it was', async () => {
      ports.packet(packet(20, 5), true);
      ports.startDma(ADDRESS, 5 * 2048);
      await settled();
      expect(ports.busMasterStatus & 1).toBe(0);
      expectCheckCondition(3, 0x11);
      expect(ports.memory.slice(ADDRESS, ADDRESS + 5 * 2048)).toEqual(new Uint8Array(5 * 2048).fill(0xee));
    });
  });

  test.each([false, true])('an error that is there at once, in the same thread (DMA: %s)', async (dma) => {
    await machine.destroy();
    const near = new FakeSynchronousDisk(SECTORS * 2048);
    await startWith(v86DiskSync(near, { onError: () => {} }));
    await waitReady();
    near.onRequest = () => {
      throw new BlockError('io', 'gone');
    };
    ports.packet(readPacket(20, 4), dma);
    await settled();
    expectCheckCondition(3, 0x11);
  });

  test.each([
    ['across the end', SECTORS - 1],
    ['behind the end', SECTORS],
    ['at the largest address', 2 ** 32 - 1],
  ])('%s is an illegal request, never fewer bytes or zeroes', async (_name, lba) => {
    for (const packet of [readPacket(lba, 2), readPacket12(lba, 2)]) {
      for (const dma of [false, true]) {
        ports.packet(packet, dma);
        await settled();
        expectCheckCondition(5, 0x21);
      }
    }
  });

  test('an image of no whole number of sectors is filled up with zeroes', async () => {
    await cdrom.insert(new FakeDisk(patterned(5 * 2048 + 700)));
    await waitReady();
    expect(await capacity()).toBe(6);
    const last = await readDma(5, 1);
    expect(last.subarray(0, 700)).toEqual(patterned(5 * 2048 + 700).subarray(5 * 2048));
    expect(last.subarray(700)).toEqual(new Uint8Array(2048 - 700));
  });
});

describe('media change', () => {
  test('eject and insert: the guest sees no medium, then a changed one', async () => {
    expect(await cdrom.eject()).toBeDefined();
    expect([cdrom.disk, cdrom.trayOpen]).toEqual([undefined, true]);
    expect(await sense(TEST_UNIT_READY)).toEqual([2, 0x3a]);
    const other = cd(40);
    await cdrom.insert(other);
    expect(await waitReady()).toEqual([
      [2, 0x3a],
      [6, 0x28],
    ]);
    expect(await capacity()).toBe(40);
    expect(await readDma(3, 2)).toEqual(other.bytes.subarray(3 * 2048, 5 * 2048));
    expect(tray).toEqual([true, false]);
  });

  test('insert into a full drive changes the disk', async () => {
    const old = cdrom.disk!;
    await cdrom.insert(cd(50));
    await waitReady();
    expect(await capacity()).toBe(50);
    expect(old.requests.host).toBeUndefined();
  });

  test('a drive that was empty from the start', async () => {
    await machine.destroy();
    await start();
    expect(await sense(TEST_UNIT_READY)).toEqual([2, 0x3a]);
    await cdrom.insert(disk);
    await waitReady();
    expect(await readDma(0, 1)).toEqual(disk.bytes.subarray(0, 2048));
  });

  test('a disk that is in a drive cannot be put into another', async () => {
    await expect(cdrom.insert(cdrom.disk!)).rejects.toMatchObject({ kind: 'busy' });
  });

  test('a locked tray stays shut unless it is forced', async () => {
    expect(await sense(LOCK)).toEqual([0, 0]);
    expect(cdrom.locked).toBe(true);
    await expect(cdrom.eject()).rejects.toMatchObject({ kind: 'busy', message: expect.stringContaining('locked') });
    await expect(cdrom.insert(cd())).rejects.toMatchObject({ kind: 'busy' });
    expect(await readDma(0, 1)).toEqual(disk.bytes.subarray(0, 2048));
    expect(await sense(OPEN_TRAY)).toEqual([5, 0x53]);
    expect(cdrom.trayOpen).toBe(false);

    expect(await sense(UNLOCK)).toEqual([0, 0]);
    await cdrom.eject();
    expect(cdrom.trayOpen).toBe(true);
  });

  test('a locked tray that is forced is open and no longer locked', async () => {
    await sense(LOCK);
    await cdrom.eject({ force: true });
    expect([cdrom.trayOpen, cdrom.locked]).toEqual([true, false]);
  });

  test('a reset unlocks', async () => {
    await sense(LOCK);
    ports.softReset();
    expect(cdrom.locked).toBe(false);
  });

  test('the guest ejects: the disk lies in the open tray, and the guest can close it again', async () => {
    const before = cdrom.disk;
    expect(await sense(OPEN_TRAY)).toEqual([0, 0]);
    expect([cdrom.trayOpen, cdrom.disk === before]).toEqual([true, true]);
    expect(await sense(TEST_UNIT_READY)).toEqual([2, 0x3a]);
    await sense(CLOSE_TRAY);
    await waitReady();
    expect(await readDma(0, 1)).toEqual(disk.bytes.subarray(0, 2048));
    expect(tray).toEqual([true, false]);
  });

  test('the guest ejects and the page takes the disk out', async () => {
    await sense(OPEN_TRAY);
    await cdrom.eject();
    expect(cdrom.disk).toBeUndefined();
    await sense(CLOSE_TRAY);
    expect(await sense(TEST_UNIT_READY)).toEqual([2, 0x3a]);
  });

  test('eject waits for the read that is on its way', async () => {
    const read = held();
    disk.onRead = () => read.promise;
    ports.packet(readPacket(100, 1), true);
    ports.startDma(ADDRESS, 2048);
    let ejected = false;
    const eject = cdrom.eject().then(() => (ejected = true));
    await settled();
    expect(ejected).toBe(false);
    read.release();
    await eject;
    expect(ports.memory.slice(ADDRESS, ADDRESS + 2048)).toEqual(disk.bytes.subarray(100 * 2048, 101 * 2048));
  });
});

// v86's release build, driven through its ports: what a guest's driver sees of an attached hard disk.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { V86 } from 'v86';
import { BlockError } from '../../../src/block/error.ts';
import {
  attachDrives,
  v86Disk,
  v86DiskSync,
  type DriveErrorEvent,
  type V86Disk,
  type V86DiskOptions,
  type V86Drives,
} from '../../../src/emulator/v86/index.ts';
import { FakeDisk, FakeSynchronousDisk, held, patterned, settled } from '../../support/fake-disk.ts';
import { BUSY, DATA_REQUEST, ERROR, idleMachine, IdePorts } from '../../support/v86-ports.ts';

const READ_SECTORS = 0x20;
const WRITE_SECTORS = 0x30;
const READ_DMA = 0xc8;
const WRITE_DMA = 0xca;
const FLUSH = 0xe7;
const FLUSH_EXT = 0xea;
const STANDBY = 0xe0;
const IDENTIFY = 0xec;
const SET_FEATURES = 0xef;
const TRIM = 0x06;
const UNCORRECTABLE = 0x40;
const ABORTED = 0x04;
const ADDRESS = 0x20000;

let machine: V86;
let drives: V86Drives;
let ports: IdePorts;
let disk: FakeDisk;
let errors: DriveErrorEvent[];

async function plugIn(hda: V86Disk, hdb?: V86Disk): Promise<void> {
  machine = idleMachine({ hda, ...(hdb && { hdb }) });
  drives = await attachDrives(machine);
  ports = new IdePorts(machine, 0);
}

async function plugInFake(options: V86DiskOptions = {}): Promise<void> {
  errors = [];
  disk = new FakeDisk(4 * 1024 * 1024);
  await plugIn(v86Disk(disk, { onError: (event) => errors.push(event), flushAfter: 0, ...options }));
  // v86 has looked at the first sector.
  drives.hda?.invalidate();
  disk.log.length = 0;
}

function identity(): Uint16Array {
  ports.command({ command: IDENTIFY });
  return new Uint16Array(ports.readData(512).buffer);
}

/** Reads by DMA and returns what arrived in memory. */
async function readDma(lba: number, count: number): Promise<Uint8Array> {
  ports.command({ command: READ_DMA, lba, count });
  ports.startDma(ADDRESS, count * 512);
  await settled();
  return ports.memory.slice(ADDRESS, ADDRESS + count * 512);
}

function startWriteDma(lba: number, data: Uint8Array): void {
  ports.memory.set(data, ADDRESS);
  ports.command({ command: WRITE_DMA, lba, count: data.length / 512 });
  ports.startDma(ADDRESS, data.length);
}

afterEach(async () => {
  await machine.destroy();
});

describe('a hard disk', () => {
  beforeEach(() => plugInFake());

  test('says that it has a write cache and TRIM, and what v86 says besides', () => {
    const words = identity();
    expect(words[82]! & 0x20).toBe(0x20);
    expect(words[85]! & 0x20).toBe(0x20);
    expect(words[83]! & 0x3000).toBe(0x3000);
    expect(words[169]).toBe(1);
    expect(words[60]! + words[61]! * 65536).toBe(disk.size / 512);
  });

  test('reads by DMA and by PIO, with the interrupt that goes with it', async () => {
    expect(await readDma(100, 20)).toEqual(patterned(disk.size).subarray(100 * 512, 120 * 512));
    expect(ports.interrupt).toBe(true);
    expect(ports.status).toBe(0x50);

    ports.command({ command: READ_SECTORS, lba: 8, count: 2 });
    expect(ports.status & BUSY).toBe(BUSY);
    await settled();
    expect(ports.interrupt).toBe(true);
    expect(ports.readData(1024)).toEqual(patterned(disk.size).subarray(8 * 512, 10 * 512));
    expect(ports.status).toBe(0x50);
  });

  test('a PIO read that the cache answers at once keeps its interrupt', async () => {
    await readDma(0, 8);
    ports.command({ command: READ_SECTORS, lba: 1, count: 1 });
    await settled();
    expect(ports.interrupt).toBe(true);
    expect(ports.readData(512)).toEqual(patterned(disk.size).subarray(512, 1024));
    expect(drives.hda?.statistics.cacheHits).toBe(1);
  });

  test('a PIO write is done when the disk has it, and takes the data of that moment', async () => {
    const write = held();
    disk.onWrite = () => write.promise;
    const data = patterned(1024).toReversed();
    ports.command({ command: WRITE_SECTORS, lba: 40, count: 2 });
    ports.writeData(data);
    await settled();
    expect(ports.status & BUSY).toBe(BUSY);
    write.release();
    await settled();
    expect(ports.status).toBe(0x50);
    expect(ports.interrupt).toBe(true);
    expect(disk.bytes.subarray(40 * 512, 42 * 512)).toEqual(data);
  });

  test('a PIO write that is given up still writes the data of its moment, not what came into the buffer later', async () => {
    const write = held();
    disk.onWrite = () => write.promise;
    const data = patterned(512).toReversed();
    ports.command({ command: WRITE_SECTORS, lba: 40, count: 1 });
    ports.writeData(data);
    ports.softReset();
    identity();
    write.release();
    await settled();
    expect(disk.bytes.subarray(40 * 512, 41 * 512)).toEqual(data);
  });

  test('FLUSH CACHE comes back when the disk has flushed, after the writes before it', async () => {
    for (const command of [FLUSH, FLUSH_EXT, STANDBY]) {
      disk.log.length = 0;
      const flush = held();
      disk.onFlush = () => flush.promise;
      startWriteDma(7, patterned(512));
      await settled();
      ports.command({ command });
      await settled();
      expect(ports.status & BUSY).toBe(BUSY);
      expect(ports.interrupt).toBe(false);
      flush.release();
      await settled();
      expect(ports.status).toBe(0x50);
      expect(ports.interrupt).toBe(true);
      expect(disk.log).toEqual([['write', 3584, 512], ['write done', 3584, 512], ['flush'], ['flush done']]);
    }
  });

  test('a read error is an I/O error at once, by DMA and by PIO', async () => {
    disk.onRead = () => Promise.reject(new BlockError('io', 'gone'));
    ports.memory.fill(0xaa, ADDRESS, ADDRESS + 512);
    const found = await readDma(5, 1);
    expect([ports.status, ports.error]).toEqual([0x51, UNCORRECTABLE]);
    expect(ports.busMasterStatus & 1).toBe(0);
    expect(ports.interrupt).toBe(true);
    expect(found).toEqual(new Uint8Array(512).fill(0xaa));

    ports.command({ command: READ_SECTORS, lba: 9, count: 1 });
    await settled();
    expect([ports.status, ports.error]).toEqual([0x51, UNCORRECTABLE]);
    expect(ports.interrupt).toBe(true);
    expect(
      errors.map(({ drive, operation, offset, length, action }) => [drive, operation, offset, length, action]),
    ).toEqual([
      ['hda', 'read', 2560, 512, 'report'],
      ['hda', 'read', 4608, 512, 'report'],
    ]);

    disk.onRead = undefined;
    expect(await readDma(5, 1)).toEqual(patterned(disk.size).subarray(2560, 3072));
    expect(ports.status).toBe(0x50);
  });

  test('a write error is an I/O error at once, by DMA and by PIO, and the old bytes are read afterwards', async () => {
    disk.onWrite = () => Promise.reject(new BlockError('io', 'gone'));
    await readDma(3, 1);
    startWriteDma(3, new Uint8Array(512).fill(1));
    await settled();
    expect([ports.status, ports.error]).toEqual([0x51, ABORTED]);
    expect(ports.interrupt).toBe(true);

    ports.command({ command: WRITE_SECTORS, lba: 3, count: 1 });
    ports.writeData(new Uint8Array(512).fill(2));
    await settled();
    expect([ports.status, ports.error]).toEqual([0x51, ABORTED]);
    expect(await readDma(3, 1)).toEqual(patterned(disk.size).subarray(3 * 512, 4 * 512));
  });

  test('a flush error is an I/O error', async () => {
    disk.onFlush = () => Promise.reject(new BlockError('io', 'gone'));
    ports.command({ command: FLUSH });
    await settled();
    expect([ports.status, ports.error]).toEqual([0x51, ABORTED]);
    expect(ports.interrupt).toBe(true);
  });

  test('a disk that was closed fails at once', async () => {
    disk.onRead = () => Promise.reject(new BlockError('closed', 'The worker died.'));
    await readDma(5, 1);
    expect(ports.status & ERROR).toBe(ERROR);
  });

  test('a reset gives up what is on its way: late answers do not disturb the next command', async () => {
    const late = held();
    disk.onRead = () => late.promise;
    ports.command({ command: READ_DMA, lba: 5, count: 1 });
    ports.startDma(ADDRESS, 512);
    await settled();
    ports.softReset();
    const afterReset = ports.status;
    ports.interrupt = false;
    late.release();
    await settled();
    expect(ports.status).toBe(afterReset);
    expect(ports.interrupt).toBe(false);

    const lateWrite = held();
    disk.onWrite = () => lateWrite.promise;
    startWriteDma(5, patterned(512));
    await settled();
    ports.softReset();
    ports.interrupt = false;
    lateWrite.release();
    await settled();
    expect(ports.interrupt).toBe(false);
    expect(ports.status).toBe(afterReset);

    disk.onRead = undefined;
    disk.onWrite = undefined;
    expect(await readDma(200, 4)).toEqual(patterned(disk.size).subarray(200 * 512, 204 * 512));
    expect(await readDma(5, 1)).toEqual(patterned(512));
  });

  test('a reset while a flush is under way: the flush goes on, nobody is told', async () => {
    const flush = held();
    disk.onFlush = () => flush.promise;
    ports.command({ command: FLUSH });
    ports.softReset();
    const afterReset = ports.status;
    ports.interrupt = false;
    flush.release();
    await settled();
    expect([ports.status, ports.interrupt]).toEqual([afterReset, false]);
    expect(disk.logged('flush done')).toHaveLength(1);
  });

  test('without its write cache every write is flushed before it is done', async () => {
    ports.command({ command: SET_FEATURES, features: 0x82 });
    expect(identity()[85]! & 0x20).toBe(0);
    const flush = held();
    disk.onFlush = () => flush.promise;
    startWriteDma(7, patterned(512));
    await settled();
    expect(ports.interrupt).toBe(false);
    flush.release();
    await settled();
    expect(ports.status).toBe(0x50);
    ports.command({ command: SET_FEATURES, features: 0x02 });
    expect(identity()[85]! & 0x20).toBe(0x20);
  });

  test('TRIM reaches the disk as discards', async () => {
    const list = new DataView(new ArrayBuffer(512));
    list.setUint32(0, 16, true);
    list.setUint16(6, 8, true);
    list.setUint32(8, 1000, true);
    list.setUint16(14, 100, true);
    ports.memory.set(new Uint8Array(list.buffer), ADDRESS);
    ports.command({ command: TRIM, count: 1, features: 1 });
    ports.startDma(ADDRESS, 512);
    await settled();
    expect(ports.status).toBe(0x50);
    expect(ports.interrupt).toBe(true);
    expect(disk.log).toEqual([
      ['discard', 16 * 512, 8 * 512],
      ['discard', 1000 * 512, 100 * 512],
    ]);
    expect(await readDma(16, 8)).toEqual(new Uint8Array(8 * 512));
  });

  test('TRIM past the end of the disk, or of a kind that is not there, is refused and discards nothing', async () => {
    const list = new DataView(new ArrayBuffer(512));
    list.setUint32(0, disk.size / 512 - 1, true);
    list.setUint16(6, 2, true);
    ports.memory.set(new Uint8Array(list.buffer), ADDRESS);
    ports.command({ command: TRIM, count: 1, features: 1 });
    ports.startDma(ADDRESS, 512);
    await settled();
    expect(ports.status & ERROR).toBe(ERROR);
    ports.command({ command: TRIM, count: 1, features: 0 });
    expect([ports.status & ERROR, ports.error]).toEqual([ERROR, ABORTED]);
    ports.command({ command: TRIM, count: 200, features: 1 });
    expect([ports.status & ERROR, ports.error]).toEqual([ERROR, ABORTED]);
    expect(disk.log).toEqual([]);
  });

  test('a TRIM that was announced and then reset does not turn the next write into one', async () => {
    ports.command({ command: TRIM, count: 1, features: 1 });
    ports.softReset();
    startWriteDma(50, patterned(512));
    await settled();
    expect(disk.logged('discard')).toEqual([]);
    expect(disk.logged('write')).toEqual([['write', 50 * 512, 512]]);
  });

  test('detach flushes, and v86 is as it was', async () => {
    startWriteDma(1, patterned(512));
    await settled();
    await drives.detach();
    expect(disk.logged('flush done')).toHaveLength(1);
    expect(identity()[85]! & 0x20).toBe(0);
  });

  test('a machine that is not attached is left alone', async () => {
    const other = new FakeDisk(1024 * 1024);
    const plain = idleMachine({ hda: v86Disk(other) });
    await new Promise<void>((resolve) => {
      plain.add_listener('emulator-loaded', () => resolve());
    });
    const plainPorts = new IdePorts(plain, 0);
    plainPorts.command({ command: IDENTIFY });
    expect(new Uint16Array(plainPorts.readData(512).buffer)[85]! & 0x20).toBe(0);
    await plain.destroy();
  });
});

describe('policies', () => {
  test('stop keeps the request, and resume tries it again until it succeeds', async () => {
    const stops: DriveErrorEvent[] = [];
    await plugInFake({ writeError: 'stop', readError: 'stop', onStop: (event) => stops.push(event) });
    disk.onWrite = () => Promise.reject(new BlockError('io', 'gone'));
    startWriteDma(9, patterned(1024));
    await settled();
    expect(stops).toHaveLength(1);
    expect(stops[0]).toMatchObject({ drive: 'hda', operation: 'write', offset: 9 * 512, length: 1024, action: 'stop' });
    expect(ports.interrupt).toBe(false);

    expect(await drives.resume()).toBe(false);
    expect(stops).toHaveLength(2);

    disk.onWrite = undefined;
    expect(await drives.resume()).toBe(true);
    expect(ports.interrupt).toBe(true);
    expect(ports.status).toBe(0x50);
    expect(disk.bytes.subarray(9 * 512, 11 * 512)).toEqual(patterned(1024));

    disk.onRead = () => Promise.reject(new BlockError('io', 'gone'));
    await readDma(9, 2);
    expect(ports.interrupt).toBe(false);
    disk.onRead = undefined;
    expect(await drives.resume()).toBe(true);
    expect(ports.memory.slice(ADDRESS, ADDRESS + 1024)).toEqual(patterned(1024));
  });

  test('a reset while a request is kept drops it', async () => {
    await plugInFake({ writeError: 'stop' });
    disk.onWrite = () => Promise.reject(new BlockError('io', 'gone'));
    startWriteDma(9, patterned(1024));
    await settled();
    ports.softReset();
    disk.onWrite = undefined;
    disk.log.length = 0;
    expect(await drives.resume()).toBe(true);
    expect(disk.log).toEqual([]);
  });

  test('enospc stops for a full storage and reports the rest, also for flushes', async () => {
    const stops: DriveErrorEvent[] = [];
    await plugInFake({ onStop: (event) => stops.push(event) });
    disk.onWrite = () => Promise.reject(new BlockError('io', 'gone'));
    startWriteDma(9, patterned(512));
    await settled();
    expect([stops.length, ports.status]).toEqual([0, 0x51]);

    disk.onWrite = () => Promise.reject(new BlockError('no-space', 'full'));
    startWriteDma(9, patterned(512));
    await settled();
    expect([stops.length, ports.interrupt]).toEqual([1, false]);
    disk.onWrite = undefined;
    expect(await drives.resume()).toBe(true);

    disk.onFlush = () => Promise.reject(new BlockError('no-space', 'full'));
    ports.command({ command: FLUSH });
    await settled();
    expect(stops.map((event) => event.operation)).toEqual(['write', 'flush']);
    disk.onFlush = undefined;
    expect(await drives.resume()).toBe(true);
    expect([ports.status, ports.interrupt]).toEqual([0x50, true]);
  });

  test('ignore tells the guest that all went well', async () => {
    await plugInFake({ writeError: 'ignore', readError: 'ignore' });
    disk.onWrite = () => Promise.reject(new BlockError('io', 'gone'));
    disk.onRead = disk.onWrite;
    startWriteDma(9, patterned(512));
    await settled();
    expect(ports.status).toBe(0x50);
    expect(await readDma(9, 1)).toEqual(new Uint8Array(512));
    expect(errors.map((event) => event.action)).toEqual(['ignore', 'ignore']);
  });

  test('a write to a read-only disk is an error of kind permission', async () => {
    errors = [];
    disk = new FakeDisk(1024 * 1024);
    disk.readOnly = true;
    await plugIn(v86Disk(disk, { onError: (event) => errors.push(event) }));
    startWriteDma(9, patterned(512));
    await settled();
    expect([ports.status, ports.error]).toEqual([0x51, ABORTED]);
    expect(errors[0]?.error).toMatchObject({ kind: 'permission' });
    expect(disk.log.filter(([kind]) => kind !== 'read')).toEqual([]);
    expect(identity()[169]).toBe(0);
  });
});

describe('two disks on a channel', () => {
  test('each has its own requests', async () => {
    const master = new FakeDisk(1024 * 1024);
    const slave = new FakeDisk(2 * 1024 * 1024);
    await plugIn(v86Disk(master), v86Disk(slave));
    ports.command({ command: IDENTIFY, slave: true });
    const words = new Uint16Array(ports.readData(512).buffer);
    expect(words[60]! + words[61]! * 65536).toBe(slave.size / 512);
    ports.command({ command: FLUSH, slave: true });
    await settled();
    expect([master.logged('flush').length, slave.logged('flush').length]).toEqual([0, 1]);
    expect(drives.hdb?.byteLength).toBe(slave.size);
  });
});

describe('a disk in the same thread', () => {
  let near: FakeSynchronousDisk;
  beforeEach(async () => {
    near = new FakeSynchronousDisk(1024 * 1024);
    await plugIn(v86DiskSync(near, { onError: () => {}, flushAfter: 0 }));
    near.log.length = 0;
  });

  test('DMA is done when its command returns', () => {
    ports.command({ command: READ_DMA, lba: 3, count: 2 });
    ports.startDma(ADDRESS, 1024);
    expect(ports.interrupt).toBe(true);
    expect(ports.memory.slice(ADDRESS, ADDRESS + 1024)).toEqual(near.bytes.slice(3 * 512, 5 * 512));
    startWriteDma(3, patterned(512).fill(9));
    expect([ports.interrupt, ports.status]).toEqual([true, 0x50]);
    expect(near.bytes[3 * 512]).toBe(9);
  });

  test('what is answered inside a command keeps its interrupt', async () => {
    for (const [command, length] of [
      [READ_SECTORS, 512],
      [FLUSH, 0],
    ] as const) {
      ports.command({ command, lba: 3, count: 1 });
      await settled();
      expect(ports.interrupt).toBe(true);
      expect(ports.status & BUSY).toBe(0);
      if (length > 0) expect(ports.readData(length)).toEqual(near.bytes.slice(3 * 512, 4 * 512));
    }
    expect(near.log).toEqual([['read', 3 * 512, 512], ['flush']]);
  });

  test('a PIO write is done with its last word', () => {
    ports.command({ command: WRITE_SECTORS, lba: 4, count: 2 });
    ports.writeData(patterned(512).fill(1));
    expect(ports.status & DATA_REQUEST).toBe(DATA_REQUEST);
    ports.writeData(patterned(512).fill(2));
    expect([ports.interrupt, ports.status]).toEqual([true, 0x50]);
    expect([near.bytes[4 * 512], near.bytes[5 * 512]]).toEqual([1, 2]);
  });

  test('errors reach the guest', async () => {
    near.onRequest = (operation) => {
      throw new BlockError('io', operation);
    };
    ports.command({ command: READ_DMA, lba: 3, count: 2 });
    ports.startDma(ADDRESS, 1024);
    expect([ports.status, ports.error, ports.interrupt]).toEqual([0x51, UNCORRECTABLE, true]);
    startWriteDma(3, patterned(512));
    expect([ports.status, ports.error, ports.interrupt]).toEqual([0x51, ABORTED, true]);
    for (const command of [READ_SECTORS, FLUSH]) {
      ports.command({ command, lba: 3, count: 1 });
      await settled();
      expect([ports.status, ports.interrupt]).toEqual([0x51, true]);
    }
  });
});

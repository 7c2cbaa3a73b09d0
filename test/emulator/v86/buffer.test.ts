// The object that v86 takes, by itself: what it promises before it is in a drive.
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { V86Image } from 'v86';
import { BlockError } from '../../../src/block/error.ts';
import { v86Disk, v86DiskSync, type DriveErrorEvent, type V86Disk } from '../../../src/emulator/v86/index.ts';
import { FakeDisk, FakeSynchronousDisk, held, patterned, settled } from '../../support/fake-disk.ts';

const MIB = 1024 * 1024;

function get(disk: V86Disk, offset: number, length: number): Promise<Uint8Array> {
  return new Promise((resolve) => {
    disk.get(offset, length, (data) => resolve(data.slice()));
  });
}

function set(disk: V86Disk, offset: number, data: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    disk.set(offset, data, resolve);
  });
}

afterEach(() => {
  vi.useRealTimers();
});

describe('the shape that v86 wants', () => {
  test('is an image to the types, and has what v86 looks for', () => {
    const image: V86Image = v86Disk(new FakeDisk(MIB));
    const disk = image as V86Disk;
    expect([typeof disk.get, typeof disk.set, typeof disk.load, disk.byteLength]).toEqual([
      'function',
      'function',
      'function',
      MIB,
    ]);
    let loaded = false;
    disk.onload = () => (loaded = true);
    disk.load();
    expect(loaded).toBe(true);
  });

  test('the first sector is there before the machine starts', async () => {
    const disk = v86Disk(new FakeDisk(MIB));
    expect(disk.get_from_cache(0, 512)).toBeUndefined();
    await new Promise((resolve) => {
      disk.get_and_cache(0, 512, resolve);
    });
    expect(disk.get_from_cache(0, 512)).toEqual(patterned(512));
    expect(disk.get_from_cache(512, 512)).toBeUndefined();
  });

  test('a first sector that cannot be read does not keep the machine from starting', async () => {
    const fake = new FakeDisk(MIB);
    fake.onRead = () => Promise.reject(new Error('gone'));
    const disk = v86Disk(fake);
    await new Promise((resolve) => {
      disk.get_and_cache(0, 512, resolve);
    });
    expect(disk.get_from_cache(0, 512)).toBeUndefined();
  });
});

describe('reads and writes', () => {
  test('a live view is taken as it is at the call, and a read sees it before the disk has it', async () => {
    const fake = new FakeDisk(MIB);
    const hold = held();
    fake.onWrite = () => hold.promise;
    const disk = v86Disk(fake, { flushAfter: 0 });
    const view = new Uint8Array(512).fill(1);
    const written = set(disk, 1024, view);
    view.fill(2);
    expect(await get(disk, 1024, 512)).toEqual(new Uint8Array(512).fill(1));
    hold.release();
    await written;
    expect(fake.bytes[1024]).toBe(1);
  });

  test('two reads of a disk in the same thread do not share their bytes', async () => {
    const disk = v86DiskSync(new FakeSynchronousDisk(MIB));
    const [one, two] = await Promise.all([get(disk, 0, 512), get(disk, 1024, 512)]);
    expect(one).toEqual(patterned(MIB).subarray(0, 512));
    expect(two).toEqual(patterned(MIB).subarray(1024, 1536));
  });

  test('an answer never comes inside the call while there is no drive to say that it may', () => {
    const disk = v86DiskSync(new FakeSynchronousDisk(MIB));
    let answered = false;
    disk.get(0, 512, () => (answered = true));
    expect(answered).toBe(false);
  });

  test('a read that v86 aborted is answered once, so that v86 forgets it', async () => {
    const fake = new FakeDisk(MIB);
    const hold = held();
    fake.onRead = () => hold.promise;
    const disk = v86Disk(fake);
    const controller = new AbortController();
    let answers = 0;
    disk.get(0, 512, () => (answers += 1), { signal: controller.signal });
    controller.abort();
    disk.requests.cancel();
    hold.release();
    await settled();
    expect(answers).toBe(1);
  });

  test('counts and lights', async () => {
    const lights: [string, number][] = [];
    const disk = v86Disk(new FakeDisk(MIB), { onActivity: (kind, bytes) => lights.push([kind, bytes]), flushAfter: 0 });
    await get(disk, 0, 4096);
    await get(disk, 0, 4096);
    await set(disk, 0, new Uint8Array(1024));
    await new Promise<void>((resolve, reject) => {
      disk.requests.flush(resolve, reject);
    });
    expect(lights).toEqual([
      ['read', 4096],
      ['read', 4096],
      ['write', 1024],
      ['flush', 0],
    ]);
    expect(disk.statistics).toMatchObject({
      reads: 2,
      writes: 1,
      flushes: 1,
      bytesRead: 8192,
      bytesWritten: 1024,
      cacheHits: 1,
      errors: 0,
    });
  });
});

describe('a guest that never flushes', () => {
  test('has its writes flushed a while later, once for many', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const fake = new FakeDisk(MIB);
    const disk = v86Disk(fake, { flushAfter: 500 });
    await set(disk, 0, new Uint8Array(512));
    await set(disk, 512, new Uint8Array(512));
    expect(fake.logged('flush')).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(500);
    expect(fake.logged('flush')).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(5000);
    expect(fake.logged('flush')).toHaveLength(1);
  });

  test('a flush of the guest makes it needless', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const fake = new FakeDisk(MIB);
    const disk = v86Disk(fake, { flushAfter: 500 });
    await set(disk, 0, new Uint8Array(512));
    await disk.flush();
    await vi.advanceTimersByTimeAsync(5000);
    expect(fake.logged('flush')).toHaveLength(1);
  });

  test('if it fails, the next flush that somebody waits for fails, once', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const fake = new FakeDisk(MIB);
    const errors: DriveErrorEvent[] = [];
    const disk = v86Disk(fake, { flushAfter: 500, onError: (event) => errors.push(event) });
    fake.onFlush = () => Promise.reject(new Error('gone'));
    await set(disk, 0, new Uint8Array(512));
    await vi.advanceTimersByTimeAsync(500);
    expect(errors.map((event) => event.operation)).toEqual(['flush']);
    fake.onFlush = undefined;
    await expect(disk.flush()).rejects.toThrow('gone');
    await disk.flush();
  });
});

describe('errors without a drive', () => {
  test('a lost write fails the next flush', async () => {
    const fake = new FakeDisk(MIB);
    const errors: DriveErrorEvent[] = [];
    const disk = v86Disk(fake, { onError: (event) => errors.push(event), flushAfter: 0 });
    fake.onWrite = () => Promise.reject(new BlockError('no-space', 'full'));
    disk.set(0, new Uint8Array(512), () => {});
    await settled();
    expect(errors[0]).toMatchObject({ drive: undefined, operation: 'write', action: 'report' });
    await expect(disk.flush()).rejects.toMatchObject({ kind: 'no-space' });
    await disk.flush();
  });
});

describe('sizes', () => {
  test.each([
    [0, {}],
    [1000, {}],
    [2 ** 41 + 512, {}],
    [5 * MIB, { media: 'floppy' }],
  ] as const)('%i bytes with %o are refused', (size, options) => {
    const fake = new FakeDisk(0);
    Object.defineProperty(fake, 'size', { value: size });
    expect(() => v86Disk(fake, options)).toThrow(BlockError);
  });

  test('a read-only disk is filled up with zeroes to a whole sector', async () => {
    const fake = new FakeDisk(1000);
    fake.readOnly = true;
    const disk = v86Disk(fake);
    expect(disk.byteLength).toBe(1024);
    const last = await get(disk, 512, 512);
    expect(last.subarray(0, 488)).toEqual(patterned(1000).subarray(512));
    expect(last.subarray(488)).toEqual(new Uint8Array(24));
  });

  test('a floppy is filled up to the next size of v86', () => {
    expect(v86Disk(new FakeDisk(700 * 1024), { media: 'floppy' }).byteLength).toBe(720 * 1024);
    expect(v86Disk(new FakeDisk(1440 * 1024), { media: 'floppy' }).byteLength).toBe(1440 * 1024);
  });

  test('a floppy of an odd size says what to do, where v86 would go on with an empty one', () => {
    expect(() => v86Disk(new FakeDisk(700 * 1024)).buffer).toThrow("media: 'floppy'");
  });
});

describe('machine states', () => {
  test('are plain data without contents, and fit only the same disk', () => {
    const disk = v86Disk(new FakeDisk(MIB), { identity: 'mine' });
    const state = disk.get_state();
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
    expect(JSON.stringify(state).length).toBeLessThan(100);
    disk.set_state(state);
    expect(() => v86Disk(new FakeDisk(MIB), { identity: 'other' }).set_state(state)).toThrow(BlockError);
    expect(() => v86Disk(new FakeDisk(2 * MIB), { identity: 'mine' }).set_state(state)).toThrow(BlockError);
  });

  test('setting the machine back forgets what was cached and what was on its way', async () => {
    const fake = new FakeDisk(MIB);
    const disk = v86Disk(fake);
    await get(disk, 0, 512);
    const hold = held();
    fake.onRead = () => hold.promise;
    let answered = false;
    disk.get(MIB / 2, 512, () => (answered = true));
    disk.set_state(disk.get_state());
    hold.release();
    await settled();
    expect(answered).toBe(false);
    fake.log.length = 0;
    await get(disk, 0, 512);
    expect(fake.log).toHaveLength(1);
  });
});

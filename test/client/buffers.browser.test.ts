import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, type Disk, type Spindle } from '../../src/client/index.ts';
import { BufferPool } from '../../src/client/buffer-pool.ts';
import { failsWith, sameBytes } from '../support/check.ts';
import { Random } from '../support/random.ts';

const MIB = 1024 * 1024;

let spindle: Spindle;
let disk: Disk;
beforeAll(async () => {
  spindle = await connect();
});
beforeEach(async () => {
  await disk?.close();
  disk = await spindle.open({ driver: 'raw', file: { driver: 'memory', size: 4 * MIB } });
});
afterAll(() => spindle.close());

describe("a caller's buffers", () => {
  test('stay as they are when they are written, whatever is done to them afterwards', async () => {
    const whole = new Uint8Array(8192).fill(1);
    const part = whole.subarray(100, 200);
    const writing = disk.write(0, part);
    part.fill(9);
    await writing;
    expect(whole.length).toBe(8192);
    expect(await disk.read(0, 100)).toEqual(new Uint8Array(100).fill(1));
  });

  test('can be shared memory when they are copied', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(16)).fill(4);
    await disk.write(0, shared);
    expect(await disk.read(0, 16)).toEqual(new Uint8Array(16).fill(4));
    await failsWith('invalid', () => disk.write(0, shared, { transfer: true }), 'giving shared memory away');
  });

  test('are given away when that is asked for, parts with their whole buffer', async () => {
    const whole = new Uint8Array(8192).map((_, index) => index % 256);
    await disk.write(512, whole.subarray(1000, 3000), { transfer: true });
    expect(whole.length).toBe(0);
    const expected = new Uint8Array(2000).map((_, index) => (index + 1000) % 256);
    sameBytes(await disk.read(512, 2000), expected, 'the part');
    await failsWith('invalid', () => disk.write(0, whole, { transfer: true }), 'giving it away again');
  });

  test('that reads gave are their own: no two share one, and nothing changes them later', async () => {
    await disk.write(0, new Uint8Array(MIB).fill(1));
    const first = await disk.read(0, 4096);
    const second = await disk.read(0, 4096);
    expect(first.buffer).not.toBe(second.buffer);
    expect(first.buffer.byteLength).toBe(4096);
    await disk.write(0, new Uint8Array(4096).fill(2));
    await disk.read(0, 4096);
    expect(first.every((byte) => byte === 1)).toBe(true);
  });

  test('can be read into, which takes them away and brings their memory back', async () => {
    await disk.write(0, new Uint8Array(4096).fill(8));
    const mine = new ArrayBuffer(8192);
    const bytes = await disk.read(0, 4096, { into: mine });
    expect(mine.byteLength).toBe(0);
    expect([bytes.length, bytes.buffer.byteLength, bytes[4095]]).toEqual([4096, 8192, 8]);
    const again = await disk.read(0, 8192, { into: new Uint8Array(bytes.buffer) });
    expect([again.length, again[0], again[8191]]).toEqual([8192, 8, 0]);
  });

  test('that do not fit are refused and left alone', async () => {
    const small = new Uint8Array(100);
    await failsWith('invalid', () => disk.read(0, 101, { into: small }), 'a short buffer');
    const part = new Uint8Array(1000).subarray(1);
    await failsWith('invalid', () => disk.read(0, 100, { into: part }), 'a part of a buffer');
    expect([small.length, part.length]).toEqual([100, 999]);
    const memory = new Uint8Array(new WebAssembly.Memory({ initial: 1 }).buffer);
    await failsWith('invalid', () => disk.read(0, 100, { into: memory }), "WebAssembly's memory");
    expect(memory.length).toBe(65536);
  });

  test('are never in two requests, and a mistake harms no other request', async () => {
    const one = await disk.read(0, 4096);
    disk.recycle(one);
    await failsWith('invalid', () => Promise.resolve().then(() => disk.recycle(one)), 'recycling twice');
    await failsWith('invalid', () => disk.read(0, 4096, { into: one }), 'reading into what was recycled');
    const twice = new Uint8Array(4096);
    const [first, second, third] = await Promise.allSettled([
      disk.read(0, 4096, { into: twice }),
      disk.read(0, 4096, { into: twice }),
      disk.read(0, 4096),
    ]);
    expect([first.status, second.status, third.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });
});

describe('many at once', () => {
  test('a thousand reads and writes of one tick and of many agree with a model', async () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = new Random(seed);
    const model = new Uint8Array(4 * MIB);
    const buffers = new Set<ArrayBuffer>();
    for (let round = 0; round < 10; round++) {
      // Requests in flight together have no order, so those of a round touch each slot once.
      const slots = random.shuffle(Array.from({ length: 100 }, (_, index) => index));
      const work = slots.map(async (slot) => {
        const offset = slot * 40000 + random.below(3000);
        const length = random.between(1, 36000);
        if (random.chance(0.5)) {
          const data = new Uint8Array(length).fill(random.below(256));
          model.set(data, offset);
          await disk.write(offset, data, { transfer: random.chance(0.3) });
          return;
        }
        const expected = model.slice(offset, offset + length);
        const into = random.chance(0.3) ? new ArrayBuffer(length + random.below(2) * 100) : undefined;
        const bytes = await disk.read(offset, length, { into });
        sameBytes(bytes, expected, `seed ${seed}, round ${round}, slot ${slot}`);
        if (buffers.has(bytes.buffer)) throw new Error(`seed ${seed}: two reads gave one buffer`);
        if (random.chance(0.5)) disk.recycle(bytes);
        else buffers.add(bytes.buffer);
      });
      await Promise.all(work);
    }
    sameBytes(await disk.read(0, 4 * MIB), model, `seed ${seed}, the whole disk`);
  });
});

describe('the pool', () => {
  test('gives back what it was given, of the same length only', () => {
    const pool = new BufferPool();
    const buffer = new ArrayBuffer(4096);
    pool.put(buffer);
    expect(pool.take(4095)).not.toBe(buffer);
    expect(pool.take(4096)).toBe(buffer);
    expect(pool.pooledBytes).toBe(0);
  });

  test('keeps 32 MiB at most, and drops what was not used for longest', () => {
    const pool = new BufferPool();
    const old = new ArrayBuffer(4096);
    pool.put(old);
    for (let count = 0; count < 40; count++) pool.put(new ArrayBuffer(MIB));
    expect(pool.pooledBytes).toBeLessThanOrEqual(32 * MIB);
    expect(pool.take(4096)).not.toBe(old);
    pool.put(new ArrayBuffer(64 * MIB));
    expect(pool.pooledBytes).toBeLessThanOrEqual(32 * MIB);
  });
});

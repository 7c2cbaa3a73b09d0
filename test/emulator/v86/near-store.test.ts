import { describe, expect, test } from 'vitest';
import { start } from '../../../src/block/co.ts';
import type { NearDisk } from '../../../src/emulator/disk.ts';
import { v86DiskSync } from '../../../src/emulator/v86/index.ts';
import { NearStore } from '../../../src/emulator/v86/near-store.ts';
import { coreGraph } from '../../support/core-graph.ts';
import { FakeSynchronousDisk, held, patterned, settled, type Held } from '../../support/fake-disk.ts';
import { equalBytes } from '../../support/random.ts';

const MIB = 1024 * 1024;

describe('a synchronous disk', () => {
  test('no request makes a promise', () => {
    const disk = new FakeSynchronousDisk(4 * MIB);
    const store = new NearStore(disk);
    expect(store.read(512, 1024)).toEqual(disk.bytes.subarray(512, 1536));
    // `toEqual` would take seconds for so many bytes.
    expect(equalBytes(store.read(0, 2 * MIB) as Uint8Array, disk.bytes.subarray(0, 2 * MIB))).toBe(true);
    expect(store.write(512, new Uint8Array(512).fill(3))).toBeUndefined();
    expect(store.flush()).toBeUndefined();
    expect(store.discard(0, 512)).toBeUndefined();
    expect(store.read(512, 512)).toEqual(new Uint8Array(512).fill(3));
    expect([store.size, store.readOnly, store.canDiscard]).toEqual([4 * MIB, false, true]);
  });

  test('what it throws comes out, and the next request works', () => {
    const disk = new FakeSynchronousDisk(MIB);
    const store = new NearStore(disk);
    disk.onRequest = () => {
      throw new Error('gone');
    };
    expect(() => store.read(0, 512)).toThrow('gone');
    expect(() => store.flush()).toThrow('gone');
    disk.onRequest = undefined;
    expect(store.read(0, 512)).toEqual(patterned(512));
  });
});

describe('a disk that waits now and then', () => {
  test('what comes after a request that waits waits too, in order', async () => {
    const bytes = new Uint8Array(MIB);
    const log: string[] = [];
    const holds: Held[] = [];
    const disk: NearDisk = {
      length: MIB,
      readOnly: false,
      read: (offset, buffer) => {
        log.push(`read ${offset}`);
        buffer.set(bytes.subarray(offset, offset + buffer.length));
      },
      write: async (offset, data) => {
        log.push(`write ${offset}`);
        const hold = held();
        holds.push(hold);
        await hold.promise;
        bytes.set(data, offset);
      },
      flush: () => {
        log.push('flush');
      },
    };
    const store = new NearStore(disk);
    expect(store.canDiscard).toBe(false);
    const write = store.write(0, new Uint8Array(512).fill(1));
    const read = store.read(0, 512);
    const flush = store.flush();
    await settled();
    expect(log).toEqual(['write 0']);
    holds[0]!.release();
    await write;
    expect((await read).slice()).toEqual(new Uint8Array(512).fill(1));
    await flush;
    expect(log).toEqual(['write 0', 'read 0', 'flush']);
    await settled();
    expect(store.read(0, 512)).toBeInstanceOf(Uint8Array);

    const failing = store.write(0, new Uint8Array(512).fill(2));
    const after = store.read(0, 512);
    holds[1]!.fail(new Error('full'));
    await expect(failing).rejects.toThrow('full');
    expect((await after)[0]).toBe(1);
  });

  test('reads that wait do not share a buffer', async () => {
    const disk: NearDisk = {
      length: MIB,
      readOnly: true,
      read: async (offset, buffer) => {
        await settled();
        buffer.fill(offset / 512);
      },
      write: () => undefined,
      flush: () => undefined,
    };
    const store = new NearStore(disk);
    const [one, two] = await Promise.all([store.read(512, 512), store.read(1024, 512)]);
    expect([one[0], two[0]]).toEqual([1, 2]);
  });
});

describe('a backend of the core', () => {
  test('is such a disk as it is; while its graph is being changed its requests wait and nothing fails', async () => {
    const graph = coreGraph();
    const backend = await graph.open({ driver: 'raw', file: { driver: 'memory', size: MIB } });
    const store = new NearStore(backend);
    expect(store.write(512, patterned(512))).toBeUndefined();
    expect(store.read(512, 512)).toEqual(patterned(512));
    expect(v86DiskSync(backend).byteLength).toBe(MIB);

    await start(backend.quiesce());
    const read = store.read(512, 512);
    const write = store.write(1024, patterned(512));
    await settled();
    backend.resume();
    expect((await read).slice()).toEqual(patterned(512));
    await write;
    await settled();
    expect(store.read(1024, 512)).toEqual(patterned(512));
    await graph.close(backend);
    expect(() => store.read(0, 512)).toThrow('closed');
  });
});

import { describe, expect, test } from 'vitest';
import { overlay, PendingWrites } from '../../../src/emulator/v86/pending-writes.ts';
import { FakeDisk, held, settled, type Held } from '../../support/fake-disk.ts';

function bytes(value: number, length = 512): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function withHeldWrites(): { disk: FakeDisk; writes: PendingWrites; holds: Held[] } {
  const disk = new FakeDisk(new Uint8Array(64 * 1024));
  const holds: Held[] = [];
  disk.onWrite = () => {
    const hold = held();
    holds.push(hold);
    return hold.promise;
  };
  return { disk, writes: new PendingWrites(disk), holds };
}

describe('order', () => {
  test('one write is in flight at a time, in the order of issue', async () => {
    const { disk, writes, holds } = withHeldWrites();
    const all = Promise.all([writes.write(0, bytes(1)), writes.write(1024, bytes(2)), writes.write(0, bytes(3))]);
    await settled();
    expect(disk.logged('write')).toEqual([['write', 0, 512]]);
    holds[0]!.release();
    await settled();
    expect(disk.logged('write')).toEqual([
      ['write', 0, 512],
      ['write', 1024, 512],
    ]);
    holds[1]!.release();
    await settled();
    holds[2]!.release();
    await all;
    expect(disk.bytes[0]).toBe(3);
    expect(disk.bytes[1024]).toBe(2);
  });

  test('a discard keeps its place between writes', async () => {
    const { disk, writes, holds } = withHeldWrites();
    const all = Promise.all([writes.write(0, bytes(1)), writes.discard(0, 512), writes.write(0, bytes(2))]);
    await settled();
    holds[0]!.release();
    await settled();
    holds[1]!.release();
    await all;
    expect(disk.log.map((entry) => entry[0])).toEqual(['write', 'write done', 'discard', 'write', 'write done']);
    expect(disk.bytes[0]).toBe(2);
  });
});

describe('joining', () => {
  test('small adjacent writes that wait become one', async () => {
    const { disk, writes, holds } = withHeldWrites();
    const all = [0, 1, 2, 3, 4].map((sector) => writes.write(sector * 512, bytes(sector + 1)));
    await settled();
    holds[0]!.release();
    await settled();
    holds[1]!.release();
    await Promise.all(all);
    expect(disk.logged('write')).toEqual([
      ['write', 0, 512],
      ['write', 512, 2048],
    ]);
    expect([0, 512, 1024, 1536, 2048].map((at) => disk.bytes[at])).toEqual([1, 2, 3, 4, 5]);
  });

  test('what is not adjacent, too long, or after a discard stays apart', async () => {
    const disk = new FakeDisk(new Uint8Array(4 * 1024 * 1024));
    const first = held();
    disk.onWrite = () => first.promise;
    const writes = new PendingWrites(disk);
    const all = [
      writes.write(0, bytes(1)),
      writes.write(4096, bytes(2)),
      writes.write(8192, bytes(3)),
      writes.discard(8704, 512),
      writes.write(9216, bytes(4)),
      writes.write(9728, bytes(5, 1024 * 1024)),
    ];
    first.release();
    await Promise.all(all);
    expect(disk.logged('write')).toHaveLength(5);
  });

  test('a failure fails every write that was joined, and the queue goes on', async () => {
    const { writes, disk, holds } = withHeldWrites();
    const first = writes.write(0, bytes(1));
    const joined = [writes.write(512, bytes(2)), writes.write(1024, bytes(3))];
    const last = writes.write(8192, bytes(4));
    await settled();
    holds[0]!.release();
    await first;
    await settled();
    holds[1]!.fail(new Error('full'));
    expect((await Promise.allSettled(joined)).map((result) => result.status)).toEqual(['rejected', 'rejected']);
    await settled();
    holds[2]!.release();
    await last;
    expect(disk.bytes[8192]).toBe(4);
  });
});

describe('what is pending', () => {
  test('is laid over what was read, the newest on top', async () => {
    const { writes, holds } = withHeldWrites();
    const all = [writes.write(0, bytes(1, 1024)), writes.write(4096, bytes(9)), writes.write(512, bytes(2, 1024))];
    const pending = writes.overlapping(256, 1024);
    expect(pending.map((entry) => entry.offset)).toEqual([0, 512]);
    const found = bytes(0, 1024);
    overlay(found, 256, pending);
    expect([...new Set(found.subarray(0, 256))]).toEqual([1]);
    expect([...new Set(found.subarray(256))]).toEqual([2]);
    for (let index = 0; index < 3; index += 1) {
      await settled();
      holds[index]!.release();
    }
    await Promise.all(all);
    expect(writes.overlapping(0, 65536)).toEqual([]);
  });

  test('settled waits for what is pending, also when it fails, and not for what comes later', async () => {
    const { writes, holds } = withHeldWrites();
    const failing = writes.write(0, bytes(1));
    let done = false;
    const settling = writes.settled().then(() => (done = true));
    const later = writes.write(4096, bytes(2));
    await settled();
    expect(done).toBe(false);
    holds[0]!.fail(new Error('gone'));
    await expect(failing).rejects.toThrow('gone');
    await settling;
    await settled();
    holds[1]!.release();
    await later;
  });
});

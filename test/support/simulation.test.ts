import { describe, expect, it } from 'vitest';
import { DiskModel } from './disk-model.ts';
import { ModelMismatch } from './model-mismatch.ts';
import { powerCuts } from './power-cut.ts';
import { describeSector, equalBytes, patternedBytes, Random, SECTOR_BYTES } from './random.ts';
import { SimulatedStorage } from './simulated-storage.ts';
import { SparseBytes } from './sparse-bytes.ts';
import { generateWorkload, shrinkWorkload } from './workload.ts';

describe('patterned bytes', () => {
  it('tell their write and sector, whatever part was cut out', () => {
    const whole = patternedBytes(7, 0, 4096);
    const part = patternedBytes(7, 700, 1000);
    expect(part).toEqual(whole.subarray(700, 1700));
    expect(describeSector(whole.subarray(1024, 1536))).toBe('write 7 of guest sector 2');
  });
});

describe('sparse bytes', () => {
  it('read like a flat array after any changes, and copies go separate ways', () => {
    const random = new Random(11);
    const sparse = new SparseBytes();
    let flat = new Uint8Array(0);
    const kept: [SparseBytes, Uint8Array][] = [];
    for (let step = 1; step < 400; step++) {
      const offset = random.below(40_000);
      const length = random.between(1, 9000);
      const verb = random.weighted({ write: 5, zero: 3, truncate: 1, copy: 1 });
      if (verb === 'copy') kept.push([sparse.copy(), flat.slice()]);
      const end = verb === 'truncate' ? offset : verb === 'copy' ? 0 : offset + length;
      const next = new Uint8Array(verb === 'truncate' ? end : Math.max(flat.length, end));
      next.set(flat.subarray(0, next.length));
      const data = patternedBytes(step, offset, length);
      if (verb === 'write') {
        sparse.write(offset, data);
        next.set(data, offset);
      } else if (verb === 'zero') {
        sparse.zero(offset, length);
        next.fill(0, offset, end);
      } else if (verb === 'truncate') sparse.truncate(offset);
      flat = next;
    }
    expect(equalBytes(sparse.toBytes(), flat)).toBe(true);
    for (const [copy, bytes] of kept) expect(equalBytes(copy.toBytes(), bytes)).toBe(true);
  });
});

describe('simulated storage', () => {
  it('finishes asynchronous requests in another order than they began, the same for the same seed', async () => {
    const order = async (seed: number): Promise<number[]> => {
      const storage = new SimulatedStorage({ random: new Random(seed) });
      const finished: number[] = [];
      const writes = Array.from({ length: 12 }, async (_, index) => {
        await storage.write(index * 512, new Uint8Array(512).fill(index));
        finished.push(index);
      });
      await Promise.all(writes);
      return finished;
    };
    const first = await order(3);
    expect(first).not.toEqual([...first].toSorted((left, right) => left - right));
    expect(await order(3)).toEqual(first);
  });

  it('notices a buffer that changes while its write is under way', async () => {
    const storage = new SimulatedStorage({ random: new Random(1) });
    const data = new Uint8Array(512);
    const written = storage.write(0, data);
    data[3] = 1;
    await expect(written).rejects.toThrow('changed in flight');
  });
});

describe('power cuts', () => {
  const sectorOf = (content: SparseBytes, sector: number): string => {
    const bytes = new Uint8Array(SECTOR_BYTES);
    content.read(sector * SECTOR_BYTES, bytes);
    return describeSector(bytes);
  };

  it('keep what was flushed, and lose, keep and tear the rest', () => {
    const storage = new SimulatedStorage();
    void storage.write(0, patternedBytes(1, 0, 1024)); // Synchronous storage: nothing to wait for.
    void storage.flush(); // Synchronous, too.
    void storage.write(0, patternedBytes(2, 0, 1024)); // Synchronous, too.
    void storage.write(1024, patternedBytes(3, 1024, 512)); // Synchronous, too.
    const seen = new Set<string>();
    const random = new Random(5);
    for (const cut of powerCuts(storage, { random, samples: 40 })) {
      if (cut.position < 4) continue;
      seen.add([0, 1, 2].map((sector) => sectorOf(cut.content, sector).slice(0, 7)).join(', '));
    }
    const expected = ['1', '2'].flatMap((a) =>
      ['1', '2'].flatMap((b) => ['zeroes', 'write 3'].map((c) => `write ${a}, write ${b}, ${c}`)),
    );
    expect([...seen].toSorted()).toEqual(expected.toSorted());
  });

  it('do not count a write as flushed that was still under way when the flush began', async () => {
    const storage = new SimulatedStorage({ random: new Random(9) });
    const first = storage.write(0, patternedBytes(1, 0, 512));
    await storage.flush();
    await first;
    const cuts = [...powerCuts(storage, { random: new Random(1) })];
    expect(cuts.some(({ content }) => sectorOf(content, 0) === 'zeroes')).toBe(true);
  });
});

describe('disk model', () => {
  it('demands what was flushed and allows anything later, until the next flush', () => {
    let position = 0;
    const model = new DiskModel(1024, { position: () => position });
    const at = (next: number): void => {
      position = next;
    };
    model.write(0, patternedBytes(1, 0, 512), 'first').succeeded();
    at(2);
    model.flush().succeeded();
    at(4);
    model.write(0, patternedBytes(2, 0, 512), 'second').succeeded();
    at(6);
    const disk = (write: number): Uint8Array => {
      const bytes = new Uint8Array(1024);
      if (write > 0) bytes.set(patternedBytes(write, 0, 512));
      return bytes;
    };
    model.verifyAfterCut(1, disk(0));
    model.verifyAfterCut(1, disk(1));
    model.verifyAfterCut(3, disk(1));
    model.verifyAfterCut(6, disk(1));
    model.verifyAfterCut(6, disk(2));
    expect(() => model.verifyAfterCut(3, disk(0))).toThrow(ModelMismatch);
    expect(() => model.verifyAfterCut(3, disk(2))).toThrow(/guest sector 0 holds write 2 .* allowed: first/);
    expect(() => model.verifyRead(0, disk(1), model.beginRead())).toThrow(ModelMismatch);
    model.verifyRead(0, disk(2), model.beginRead());
    model.flush().succeeded();
    expect(() => model.verifyAfterCut(6, disk(1))).toThrow(ModelMismatch);
  });

  it('finds what nobody wrote, wherever it is', () => {
    const initial = patternedBytes(1, 0, 8 * 512);
    const content = new Uint8Array(16 * 512);
    content.set(initial);
    content.set(patternedBytes(2, 5 * 512, 512), 5 * 512);
    const model = new DiskModel(content.length, { initial });
    model.write(5 * 512, patternedBytes(2, 5 * 512, 512), 'write').succeeded();
    model.flush().succeeded();
    model.verifyAfterCut(0, content);
    model.verifyRead(700, content.subarray(700, 5000), model.beginRead());
    for (const at of [0, 4 * 512 + 3, 6 * 512, 8 * 512, 16 * 512 - 1]) {
      const wrong = content.slice();
      wrong[at]! ^= 1;
      const where = new RegExp(`guest sector ${Math.floor(at / 512)} holds`);
      expect(() => model.verifyAfterCut(0, wrong)).toThrow(where);
      expect(() => model.verifyRead(0, wrong, model.beginRead())).toThrow(where);
      expect(() => model.verifyRead(at, wrong.subarray(at), model.beginRead())).toThrow(where);
    }
  });

  it('lets a discard zero or keep, and holds a read to what an earlier read has seen', () => {
    const model = new DiskModel(512);
    const data = patternedBytes(1, 0, 512);
    model.write(0, data, 'write').succeeded();
    model.discard(0, 512, 'discard').succeeded();
    model.verifyRead(0, data, model.beginRead());
    expect(() => model.verifyRead(0, new Uint8Array(512), model.beginRead())).toThrow(ModelMismatch);
    model.discard(0, 512, 'discard').succeeded();
    model.verifyRead(0, new Uint8Array(512), model.beginRead());
    expect(() => model.verifyRead(0, data, model.beginRead())).toThrow(ModelMismatch);
  });

  it('allows both sizes until a change of size is flushed, and zeroes beyond a cut', () => {
    const model = new DiskModel(1024, { initial: patternedBytes(1, 0, 1024) });
    model.resize(512, 'shrink').succeeded();
    model.resize(1024, 'grow').succeeded();
    const after = new Uint8Array(1024);
    after.set(patternedBytes(1, 0, 512));
    model.verifyRead(0, after, model.beginRead());
    model.verifyAfterCut(0, patternedBytes(1, 0, 1024));
    model.verifyAfterCut(0, patternedBytes(1, 0, 512));
    model.flush().succeeded();
    expect(() => model.verifyAfterCut(0, patternedBytes(1, 0, 1024))).toThrow(ModelMismatch);
    model.verifyAfterCut(0, after);
  });
});

describe('workloads', () => {
  it('stay inside the disk and shrink to what fails', async () => {
    const random = new Random(21);
    const operations = generateWorkload({
      random,
      count: 300,
      size: 100_352,
      boundaries: [4096, 65_536],
      maxLength: 9000,
    });
    for (const operation of operations) {
      if ('offset' in operation) expect(operation.offset + operation.length).toBeLessThanOrEqual(100_352);
    }
    const culprits = [operations[40], operations[200]];
    const shrunk = await shrinkWorkload(operations, (list) =>
      culprits.every((one) => one !== undefined && list.includes(one)),
    );
    expect(shrunk).toEqual(culprits);
  });
});

/**
 * The v86 adapter's store against a flat array: random reads, writes and forgotten caches of which several are on their way
 * at once, over a disk that answers late, out of order, and sometimes with an error, with caches of several sizes.
 */
import { expect } from 'vitest';
import { AsyncStore } from '../../src/emulator/v86/async-store.ts';
import { LINE_BYTES } from '../../src/emulator/v86/read-cache.ts';
import { FakeDisk } from './fake-disk.ts';
import { Random } from './random.ts';

const SECTOR = 512;
const STEPS = 120;

/** @throws Error that names the seed and the step if a read shows what it may not */
export async function runStoreModel(seed: number): Promise<void> {
  const random = new Random(seed);
  const sectors = 256 + random.below(128);
  const disk = unreliableDisk(random, sectors * SECTOR);
  const store = new AsyncStore(disk, {
    cacheSize: random.pick([0, LINE_BYTES, 4 * LINE_BYTES, 16 * LINE_BYTES]),
    readAhead: random.pick([0, 64 * 1024, 128 * 1024]),
  });
  const model = new SectorModel(store, sectors, seed);
  const underWay: Promise<void>[] = [];
  for (let step = 1; step <= STEPS; step += 1) {
    const first = random.below(sectors);
    const count = Math.min(random.pick([1, 1, 8, 64, 150]), sectors - first);
    if (random.chance(0.4)) underWay.push(model.write(first, count, step));
    else if (random.chance(0.1)) store.invalidate();
    else underWay.push(model.read(first, count, step));
    if (random.chance(0.3)) await turn();
    if (random.chance(0.05)) await store.flush();
  }
  await Promise.all(underWay);
  await store.flush();
  disk.onRead = undefined;
  const all = await store.read(0, disk.size);
  expect(Buffer.compare(all, disk.bytes), `seed ${seed}: what the store shows is not what the disk has`).toBe(0);
}

function unreliableDisk(random: Random, size: number): FakeDisk {
  const disk = new FakeDisk(new Uint8Array(size));
  const delay = async (): Promise<void> => {
    for (let turns = random.below(6); turns > 0; turns -= 1) await turn();
  };
  disk.onRead = async () => {
    await delay();
    if (random.chance(0.03)) throw new Error('read failed');
  };
  disk.onWrite = async () => {
    await delay();
    if (random.chance(0.05)) throw new Error('write failed');
  };
  return disk;
}

/** A read that is on its way: what each of its sectors may show. */
interface ReadUnderWay {
  readonly first: number;
  readonly allowed: Set<number>[];
}

/** Each sector is full of one value: the step that wrote it. */
class SectorModel {
  readonly #store: AsyncStore;
  readonly #seed: number;
  /** The newest value, and after a failed write what was there before it. */
  readonly #values: Set<number>[];
  readonly #reads = new Set<ReadUnderWay>();

  constructor(store: AsyncStore, sectors: number, seed: number) {
    this.#store = store;
    this.#seed = seed;
    this.#values = Array.from({ length: sectors }, () => new Set([0]));
  }

  /** From the moment of issue on a read must see it. */
  async write(first: number, count: number, value: number): Promise<void> {
    const before = this.#values.slice(first, first + count);
    this.#change(first, count, () => new Set([value]));
    try {
      await this.#store.write(first * SECTOR, new Uint8Array(count * SECTOR).fill(value));
    } catch {
      this.#change(first, count, (index, now) => new Set([...now, ...before[index]!]));
    }
  }

  async read(first: number, count: number, step: number): Promise<void> {
    const read: ReadUnderWay = {
      first,
      allowed: this.#values.slice(first, first + count).map((values) => new Set(values)),
    };
    this.#reads.add(read);
    try {
      const found = (await this.#store.read(first * SECTOR, count * SECTOR)).slice();
      this.#verify(found, read, step);
    } catch (error) {
      if (error instanceof Error && error.message === 'read failed') return;
      throw error;
    } finally {
      this.#reads.delete(read);
    }
  }

  #change(first: number, count: number, next: (index: number, now: Set<number>) => Set<number>): void {
    for (let index = 0; index < count; index += 1) {
      const sector = first + index;
      const values = next(index, this.#values[sector]!);
      this.#values[sector] = values;
      for (const read of this.#reads) for (const value of values) read.allowed[sector - read.first]?.add(value);
    }
  }

  #verify(found: Uint8Array, read: ReadUnderWay, step: number): void {
    read.allowed.forEach((allowed, index) => {
      const sector = found.subarray(index * SECTOR, (index + 1) * SECTOR);
      const [value] = sector;
      if (allowed.has(value!) && sector.every((byte) => byte === value)) return;
      const where = `seed ${this.#seed}, step ${step}, sector ${read.first + index}`;
      throw new Error(`${where}: reads ${value}, may read ${[...allowed].join(' or ')}`);
    });
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

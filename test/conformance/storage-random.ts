/** Seeded random work against a flat array, and many requests at a time. */
import { isPromise } from '../../src/block/co.ts';
import type { Storage } from '../../src/block/driver.ts';
import { same, sameBytes } from '../support/check.ts';
import { patternedBytes, Random } from '../support/random.ts';
import { readBytes, type FileUnderTest, type RegisterCase, type WritableFixture } from './storage-fixture.ts';

const SEEDS = [1, 2, 3];
const OPERATIONS = 150;

export function registerRandomCases(
  fixture: WritableFixture,
  register: RegisterCase,
  file: (label: string) => FileUnderTest,
): void {
  const extent = fixture.chunkBytes * 6;

  for (const seed of SEEDS) {
    register(`random work agrees with a flat array, seed ${seed}`, async () => {
      const made = file(`random-${seed}`);
      await made.create(0);
      const work = new RandomWork(new Random(seed), extent);
      let storage = await made.open();
      for (let step = 0; step < (fixture.operations ?? OPERATIONS); step++) {
        if (work.wantsReopen()) {
          await storage.flush();
          await storage.close();
          storage = await made.open();
        }
        await work.step(storage, `seed ${seed}, step ${step}`);
      }
      await work.compare(storage, `seed ${seed}, at the end`);
      await storage.close();
    });
  }

  register('many requests in flight each get their own bytes', async () => {
    const made = file('in-flight');
    await made.create(extent);
    await made.use(async (storage) => {
      const size = Math.floor(extent / 64);
      const places = new Random(99).shuffle(Array.from({ length: 64 }, (_, index) => index * size));
      await Promise.all(places.map(async (at) => storage.write(at, patternedBytes(1 + at, at, size))));
      const reads = places.map(async (at) =>
        sameBytes(await readBytes(storage, at, size), patternedBytes(1 + at, at, size), `at ${at}`),
      );
      await Promise.all([...reads, storage.flush(), storage.getLength()]);
    });
  });

  register('a write has taken its data when it is answered', async () => {
    const made = file('taken');
    await made.create(100);
    await made.use(async (storage) => {
      const data = new Uint8Array(50).fill(7);
      const result = storage.write(10, data);
      if (isPromise(result)) await result;
      data.fill(9);
      await storage.flush();
      sameBytes(await readBytes(storage, 10, 50), new Uint8Array(50).fill(7), 'content');
    });
  });
}

/** The flat array, and one random operation at a time on it and on the storage. */
class RandomWork {
  readonly #random: Random;
  readonly #bytes: Uint8Array;
  #length = 0;
  #writes = 0;

  constructor(random: Random, extent: number) {
    this.#random = random;
    this.#bytes = new Uint8Array(extent);
  }

  wantsReopen(): boolean {
    return this.#random.chance(0.04);
  }

  async step(storage: Storage, what: string): Promise<void> {
    const verb = this.#random.weighted({ write: 8, read: 8, zero: 2, discard: 2, truncate: 1, flush: 1 });
    const offset = this.#random.below(this.#bytes.length);
    const length = this.#random.between(
      1,
      Math.min(this.#bytes.length - offset, this.#random.pick([16, 4096, 300_000])),
    );
    const where = `${what}: ${verb} ${offset}+${length}`;
    if (verb === 'write') await this.#write(storage, offset, length);
    else if (verb === 'read')
      sameBytes(await readBytes(storage, offset, length), this.#bytes.slice(offset, offset + length), where);
    else if (verb === 'truncate') await this.#truncate(storage, offset);
    else if (verb === 'flush') await storage.flush();
    else await this.#zero(storage, verb, offset, length);
    same(await storage.getLength(), this.#length, `${where}: length`);
  }

  async compare(storage: Storage, what: string): Promise<void> {
    sameBytes(await readBytes(storage, 0, this.#bytes.length), this.#bytes, what);
  }

  async #write(storage: Storage, offset: number, length: number): Promise<void> {
    const data = patternedBytes(++this.#writes, offset, length);
    await storage.write(offset, data);
    this.#bytes.set(data, offset);
    this.#length = Math.max(this.#length, offset + length);
  }

  async #truncate(storage: Storage, length: number): Promise<void> {
    await storage.truncate(length);
    this.#bytes.fill(0, length);
    this.#length = length;
  }

  async #zero(storage: Storage, verb: 'zero' | 'discard', offset: number, length: number): Promise<void> {
    if (verb === 'zero') {
      if (storage.writeZeroes === undefined) return;
      await storage.writeZeroes(offset, length, this.#random.chance(0.5));
      this.#length = Math.max(this.#length, offset + length);
    } else {
      if (storage.discard === undefined) return;
      await storage.discard(offset, length);
    }
    this.#bytes.fill(0, offset, offset + length);
  }
}

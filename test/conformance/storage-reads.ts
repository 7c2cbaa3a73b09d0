/** What every protocol driver must do when it is read, those included that cannot write. */
import { failsWith, same, sameBytes } from '../support/check.ts';
import { patternedBytes, Random } from '../support/random.ts';
import {
  FileUnderTest,
  readBytes,
  type ReadOnlyFixture,
  type RegisterCase,
  type StorageFixture,
} from './storage-fixture.ts';

type Provide = (bytes: Uint8Array<ArrayBuffer>) => Promise<FileUnderTest>;

/** Registers the cases for a driver that only reads. */
export function registerReadOnlySuite(fixture: ReadOnlyFixture, register: RegisterCase): void {
  const provide: Provide = async (bytes) => new FileUnderTest(fixture, await fixture.provide(bytes));
  registerReadCases(fixture, register, provide);

  register('opening for writing is refused', async () => {
    const made = await provide(new Uint8Array(100));
    await failsWith('permission', () => made.open(false), 'open');
  });

  register('every change is refused', async () => {
    const made = await provide(new Uint8Array(100));
    await made.use(async (storage) => {
      same(storage.readOnly, true, 'readOnly');
      await failsWith('permission', () => storage.write(0, new Uint8Array(1)), 'write');
      await failsWith('permission', () => storage.truncate(1), 'truncate');
      await storage.flush();
    }, true);
  });

  register('after close everything is refused as closed, but close', async () => {
    const made = await provide(new Uint8Array(100));
    const storage = await made.open(true);
    await storage.close();
    await storage.close();
    await failsWith('closed', () => storage.getLength(), 'getLength');
    await failsWith('closed', () => storage.read(0, new Uint8Array(1)), 'read');
    await failsWith('closed', () => storage.flush(), 'flush');
  });

  register('it opens twice at a time', async () => {
    const bytes = patternedBytes(20, 0, 1000).slice();
    const made = await provide(bytes);
    await made.use(async (first) => {
      await made.use(async (second) => sameBytes(await readBytes(second, 0, 1000), bytes, 'second'), true);
      sameBytes(await readBytes(first, 0, 1000), bytes, 'first');
    }, true);
  });
}

/** Registers the cases that hold for anything that can be read. */
export function registerReadCases(fixture: StorageFixture, register: RegisterCase, provide: Provide): void {
  const length = fixture.chunkBytes * 4 + 321;

  register('reads around the borders of chunks and past the end', async () => {
    const bytes = patternedBytes(21, 0, length).slice();
    const made = await provide(bytes);
    const expected = new Uint8Array(length + fixture.chunkBytes * 2);
    expected.set(bytes);
    await made.use(async (storage) => {
      same(await made.settled(storage.getLength()), length, 'length');
      for (const border of [0, fixture.chunkBytes, fixture.chunkBytes * 2, length]) {
        for (const offset of [border - 1, border, border + 1].filter((at) => at >= 0)) {
          for (const count of [1, 2, 511, fixture.chunkBytes, fixture.chunkBytes + 2]) {
            const part = expected.slice(offset, offset + count);
            sameBytes(await readBytes(storage, offset, part.length), part, `read ${offset}+${part.length}`);
          }
        }
      }
      sameBytes(await readBytes(storage, length + 10_000, 100), new Uint8Array(100), 'far past the end');
      sameBytes(await readBytes(storage, 2 ** 40, 100), new Uint8Array(100), 'very far past the end');
    }, true);
  });

  register('a read fills its view and not a byte beside it', async () => {
    const bytes = patternedBytes(22, 0, 5000).slice();
    const made = await provide(bytes);
    await made.use(async (storage) => {
      const whole = new Uint8Array(2000).fill(0xaa);
      await made.settled(storage.read(4500, whole.subarray(700, 1700)));
      const expected = new Uint8Array(2000).fill(0xaa).fill(0, 700, 1700);
      expected.set(bytes.subarray(4500), 700);
      sameBytes(whole, expected, 'the buffer around the view');
    }, true);
  });

  register('a buffer is left alone once its read was answered', async () => {
    const bytes = patternedBytes(23, 0, length).slice();
    const made = await provide(bytes);
    await made.use(async (storage) => {
      const random = new Random(5);
      for (let round = 0; round < 20; round++) {
        const offset = random.below(length);
        const buffer = new Uint8Array(random.between(1, 5000));
        await storage.read(offset, buffer);
        buffer.fill(0x55);
        await readBytes(storage, random.below(length), 3000);
        sameBytes(buffer, new Uint8Array(buffer.length).fill(0x55), 'a buffer of an earlier read');
      }
    }, true);
  });

  register('many random reads in flight agree with the bytes', async () => {
    const bytes = patternedBytes(24, 0, length).slice();
    const made = await provide(bytes);
    await made.use(async (storage) => {
      const random = new Random(6);
      const one = async (offset: number, count: number) => {
        const part = bytes.slice(offset, offset + count);
        sameBytes(await readBytes(storage, offset, part.length), part, `read ${offset}+${part.length}`);
      };
      for (let round = 0; round < 5; round++) {
        const reads = Array.from({ length: 40 }, () => one(random.below(length), random.pick([1, 512, 4096, 70_000])));
        await Promise.all(reads);
      }
    }, true);
  });

  register('an empty file has length 0 and reads as zeroes', async () => {
    const made = await provide(new Uint8Array(0));
    await made.use(async (storage) => {
      same(await storage.getLength(), 0, 'length');
      sameBytes(await readBytes(storage, 0, 10), new Uint8Array(10), 'content');
    }, true);
  });
}

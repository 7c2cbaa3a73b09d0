/** What every protocol driver must do. Registered once per driver, where that driver lives. */
import { check, failsWith, same, sameBytes } from '../support/check.ts';
import { patternedBytes } from '../support/random.ts';
import { registerRandomCases } from './storage-random.ts';
import { registerReadCases } from './storage-reads.ts';
import { FileUnderTest, readBytes, type RegisterCase, type WritableFixture } from './storage-fixture.ts';

/** Registers the whole suite for a driver that can write and create. */
export function registerWritableSuite(fixture: WritableFixture, register: RegisterCase): void {
  const file = (label: string) => new FileUnderTest(fixture, fixture.fresh(label));
  const filled = async (label: string, bytes: Uint8Array) => {
    const made = file(label);
    await made.create(bytes.length);
    await made.use(async (storage) => {
      await storage.write(0, bytes);
      await storage.flush();
    });
    return made;
  };
  registerWriteCases(fixture, register, file);
  registerLifeCases(register, file, filled);
  registerSharingCases(register, filled);
  registerRandomCases(fixture, register, file);
  registerReadCases(fixture, register, async (bytes) => filled('reads', bytes));
}

type NewFile = (label: string) => FileUnderTest;
type FilledFile = (label: string, bytes: Uint8Array) => Promise<FileUnderTest>;

function registerWriteCases(fixture: WritableFixture, register: RegisterCase, file: NewFile): void {
  const chunk = fixture.chunkBytes;

  register('a new file is zeroes of the length asked for', async () => {
    const made = file('new');
    await made.create(chunk * 2 + 77);
    await made.use(async (storage) => {
      same(storage.synchronous, fixture.synchronous, 'synchronous');
      same(storage.readOnly, false, 'readOnly');
      same(await made.settled(storage.getLength()), chunk * 2 + 77, 'length');
      sameBytes(await readBytes(storage, 0, chunk * 2 + 77), new Uint8Array(chunk * 2 + 77), 'content');
    });
  });

  register('a write past the end grows the file and the gap is zero', async () => {
    const made = file('grow');
    await made.create(10);
    await made.use(async (storage) => {
      const data = patternedBytes(1, 0, 600);
      const at = chunk * 3 + 123;
      await made.settled(storage.write(at, data));
      same(await storage.getLength(), at + 600, 'length');
      sameBytes(await readBytes(storage, 0, at), new Uint8Array(at), 'the gap');
      sameBytes(await readBytes(storage, at, 600), data, 'the data');
    });
  });

  register('a write far out is found again', async () => {
    const made = file('far');
    await made.create(0);
    await made.use(async (storage) => {
      const data = patternedBytes(2, 512, 1024);
      await made.settled(storage.write(fixture.farOffset, data));
      same(await storage.getLength(), fixture.farOffset + 1024, 'length');
      sameBytes(await readBytes(storage, fixture.farOffset, 1024), data, 'the data');
      // What wraps at 32 bits would land here.
      sameBytes(
        await readBytes(storage, fixture.farOffset % 2 ** 32, 1024),
        expectedBelow(fixture.farOffset, data),
        'below',
      );
      await storage.truncate(0);
    });
    await made.delete();
  });

  register('the later of overlapping writes wins', async () => {
    const made = file('overlap');
    await made.create(chunk * 2);
    await made.use(async (storage) => {
      const expected = new Uint8Array(chunk * 2);
      for (const [number, offset, length] of [
        [1, 0, chunk + 100],
        [2, chunk - 50, 100],
        [3, chunk - 1, 2],
        [4, 13, 1],
      ] as const) {
        const data = patternedBytes(number, offset, length);
        await made.settled(storage.write(offset, data));
        expected.set(data, offset);
      }
      sameBytes(await readBytes(storage, 0, chunk * 2), expected, 'content');
    });
  });

  register('an empty write does not grow, an empty read does nothing', async () => {
    const made = file('empty');
    await made.create(5);
    await made.use(async (storage) => {
      await made.settled(storage.write(100, new Uint8Array(0)));
      await made.settled(storage.read(100, new Uint8Array(0)));
      same(await storage.getLength(), 5, 'length');
    });
  });

  register('truncate cuts, and growing again gives zeroes', async () => {
    const made = file('truncate');
    await made.create(0);
    await made.use(async (storage) => {
      const data = patternedBytes(5, 0, chunk * 2);
      await storage.write(0, data);
      const cut = chunk - 7;
      await made.settled(storage.truncate(cut));
      same(await storage.getLength(), cut, 'length after the cut');
      const expected = new Uint8Array(chunk * 2);
      expected.set(data.subarray(0, cut));
      sameBytes(await readBytes(storage, 0, chunk * 2), expected, 'after the cut');
      await made.settled(storage.truncate(chunk * 2));
      same(await storage.getLength(), chunk * 2, 'length after growing');
      sameBytes(await readBytes(storage, 0, chunk * 2), expected, 'after growing');
    });
  });

  register('zeroes and discards read as zero and nothing beside them changes', async () => {
    const made = file('zeroes');
    await made.create(0);
    await made.use(async (storage) => {
      const expected = patternedBytes(6, 0, chunk * 5).slice();
      await storage.write(0, expected);
      const zero = async (kind: 'writeZeroes' | 'discard', offset: number, length: number) => {
        if (storage[kind] === undefined) return;
        const done = kind === 'discard' ? storage.discard!(offset, length) : storage.writeZeroes!(offset, length, true);
        await made.settled(done);
        expected.fill(0, offset, offset + length);
        sameBytes(await readBytes(storage, 0, chunk * 5), expected, `${kind} ${offset}+${length}`);
      };
      await zero('writeZeroes', 100, 300);
      await zero('writeZeroes', chunk - 10, 20);
      await zero('discard', chunk + 5, chunk + 10);
      await zero('discard', chunk * 3, chunk);
      await zero('discard', chunk * 5 - 9, 9);
      same(await storage.getLength(), chunk * 5, 'length');
    });
  });

  register('a discard past the end does not grow, zeroes past the end do', async () => {
    const made = file('zero-grow');
    await made.create(chunk);
    await made.use(async (storage) => {
      await storage.discard?.(chunk - 1, 100);
      same(await storage.getLength(), chunk, 'length after the discard');
      if (storage.writeZeroes === undefined) return;
      await made.settled(storage.writeZeroes(chunk + 10, chunk, false));
      same(await storage.getLength(), chunk * 2 + 10, 'length after the zeroes');
      sameBytes(await readBytes(storage, 0, chunk * 2 + 10), new Uint8Array(chunk * 2 + 10), 'content');
    });
  });

  register('block status covers ranges, and what it calls zero is zero', async () => {
    const made = file('status');
    await made.create(chunk * 6);
    await made.use(async (storage) => {
      if (storage.blockStatus === undefined) return;
      await storage.write(chunk * 2 + 5, patternedBytes(7, 0, 1000));
      await storage.discard?.(chunk * 4, chunk);
      for (let offset = 0; offset < chunk * 8;) {
        const asked = chunk * 8 - offset;
        const status = await made.settled(storage.blockStatus(offset, asked));
        check(status.length >= 1 && status.length <= asked, `${status.length} bytes of ${asked}`);
        if (status.zero) {
          sameBytes(
            await readBytes(storage, offset, status.length),
            new Uint8Array(status.length),
            `zero at ${offset}`,
          );
        }
        offset += status.length;
      }
      same((await storage.blockStatus(chunk * 2 + 5, 1000)).zero, false, 'the data is not zero');
    });
  });
}

function expectedBelow(farOffset: number, data: Uint8Array): Uint8Array {
  return farOffset < 2 ** 32 ? data : new Uint8Array(data.length);
}

function registerLifeCases(register: RegisterCase, file: NewFile, filled: FilledFile): void {
  register('what was flushed is there after closing and opening again', async () => {
    const data = patternedBytes(8, 0, 100_001);
    const made = await filled('persist', data);
    await made.use(async (storage) => {
      same(await storage.getLength(), 100_001, 'length');
      sameBytes(await readBytes(storage, 0, 100_001), data, 'content');
      same((await storage.identity?.())?.size ?? 100_001, 100_001, 'size in the identity');
    }, true);
  });

  register('create empties a file that exists', async () => {
    const made = await filled('recreate', patternedBytes(9, 0, 5000));
    await made.create(3000);
    await made.use(async (storage) => {
      same(await storage.getLength(), 3000, 'length');
      sameBytes(await readBytes(storage, 0, 5000), new Uint8Array(5000), 'content');
    });
  });

  register('a file that is not there is not found, to open and to delete', async () => {
    const missing = file('missing');
    await failsWith('not-found', () => missing.open(true), 'open read-only');
    await failsWith('not-found', () => missing.open(), 'open');
    await failsWith('not-found', () => missing.delete(), 'delete');
    const made = await filled('deleted', patternedBytes(10, 0, 100));
    await made.delete();
    await failsWith('not-found', () => made.open(), 'open after delete');
  });

  register('after close everything is refused as closed, but close', async () => {
    const made = await filled('closed', patternedBytes(11, 0, 100));
    const storage = await made.open();
    await storage.close();
    await storage.close();
    await failsWith('closed', () => storage.getLength(), 'getLength');
    await failsWith('closed', () => storage.read(0, new Uint8Array(1)), 'read');
    await failsWith('closed', () => storage.write(0, new Uint8Array(1)), 'write');
    await failsWith('closed', () => storage.truncate(1), 'truncate');
    await failsWith('closed', () => storage.flush(), 'flush');
    if (storage.writeZeroes) await failsWith('closed', () => storage.writeZeroes!(0, 1, true), 'writeZeroes');
    if (storage.discard) await failsWith('closed', () => storage.discard!(0, 1), 'discard');
    if (storage.blockStatus) await failsWith('closed', () => storage.blockStatus!(0, 1), 'blockStatus');
  });

  register('read-only refuses every change, and nothing changes', async () => {
    const data = patternedBytes(12, 0, 1000);
    const made = await filled('read-only', data);
    await made.use(async (storage) => {
      same(storage.readOnly, true, 'readOnly');
      await failsWith('permission', () => storage.write(0, new Uint8Array(1)), 'write');
      await failsWith('permission', () => storage.truncate(1), 'truncate');
      if (storage.writeZeroes) await failsWith('permission', () => storage.writeZeroes!(0, 1, true), 'writeZeroes');
      if (storage.discard) await failsWith('permission', () => storage.discard!(0, 1), 'discard');
      await storage.flush();
      sameBytes(await readBytes(storage, 0, 1000), data, 'content');
    }, true);
  });
}

function registerSharingCases(register: RegisterCase, filled: FilledFile): void {
  register('a second writer is refused as busy, and closing makes room', async () => {
    const made = await filled('busy', patternedBytes(13, 0, 100));
    await made.use(async () => {
      await failsWith('busy', () => made.open(), 'second writer');
      await failsWith('busy', () => made.open(true), 'reader beside a writer');
      await failsWith('busy', () => made.create(10), 'create while in use');
      await failsWith('busy', () => made.delete(), 'delete while in use');
    });
    await made.use(async (storage) => same(await storage.getLength(), 100, 'length'));
  });

  register('readers work side by side, and keep writers out', async () => {
    const data = patternedBytes(14, 0, 100);
    const made = await filled('readers', data);
    await made.use(async (first) => {
      await made.use(async (second) => {
        sameBytes(await readBytes(first, 0, 100), data, 'first');
        sameBytes(await readBytes(second, 0, 100), data, 'second');
        await failsWith('busy', () => made.open(), 'writer');
      }, true);
      sameBytes(await readBytes(first, 0, 100), data, 'first, after the second was closed');
    }, true);
    await made.use(async (storage) => storage.write(0, new Uint8Array(1)));
  });

  register('reopening changes between read-only and writable', async () => {
    const made = await filled('reopen', patternedBytes(15, 0, 100));
    await made.use(async (storage) => {
      if (storage.reopen === undefined) return;
      await storage.reopen({ readOnly: false });
      same(storage.readOnly, false, 'readOnly');
      await storage.write(0, new Uint8Array(1));
      await failsWith('busy', () => made.open(true), 'reader beside the new writer');
      await storage.reopen({ readOnly: true });
      await made.use(async () => {
        await failsWith('busy', () => storage.reopen!({ readOnly: false }), 'reopen beside a reader');
        same(storage.readOnly, true, 'readOnly after the refusal');
      }, true);
    }, true);
  });
}

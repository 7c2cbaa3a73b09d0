import { describe, expect, it } from 'vitest';
import { startAsync } from '../../../../src/block/co.ts';
import { BlockError } from '../../../../src/block/error.ts';
import { extensionOffset } from '../../../../src/block/format/qcow2/extensions.ts';
import { decodeHeader, encodeHeader } from '../../../../src/block/format/qcow2/header.ts';
import {
  AUTOCLEAR_BITMAPS,
  BITMAP_ENTRY_LENGTH,
  BITMAP_EXTRA_DATA_COMPATIBLE,
  BITMAP_FIELD,
  BITMAP_IN_USE,
  BITMAPS_FIELD,
  EXTENSION,
  FIELD,
  INCOMPATIBLE_DIRTY,
} from '../../../../src/block/format/qcow2/layout.ts';
import { addBitmap, changeBitmap, copyBitmaps, listBitmaps, removeBitmap } from '../../../../src/block/image/bitmap.ts';
import { applySnapshot, createSnapshot } from '../../../../src/block/image/snapshot.ts';
import { FailingStorage } from '../../../support/failing-storage.ts';
import { powerCuts } from '../../../support/power-cut.ts';
import { checkFile, checkStorage, expectSound } from '../../../support/qcow2-check.ts';
import { Qcow2File } from '../../../support/qcow2-file.ts';
import { makeQcow2, openQcow2 } from '../../../support/qcow2-session.ts';
import { Random } from '../../../support/random.ts';
import { LastingStorage, type OpenedDisk } from '../../../support/scenario.ts';
import type { SparseBytes } from '../../../support/sparse-bytes.ts';

const KiB = 1024;
const GRANULARITY = 4096;

/** A file with the bitmaps `a` and `b`; 64 KiB of the disk are dirty in both. */
async function withBitmaps(options: Readonly<Record<string, unknown>> = {}): Promise<Qcow2File> {
  const storage = new LastingStorage({ initial: await makeQcow2({ size: 512 * KiB, cluster_size: 512, ...options }) });
  await use(storage, async ({ disk }) => {
    for (const name of ['a', 'b']) addBitmap(disk.node, { name, granularity: GRANULARITY });
    await disk.write(64 * KiB, new Uint8Array(64 * KiB).fill(1));
  });
  return new Qcow2File(storage.content);
}

async function use<T>(
  storage: LastingStorage,
  work: (opened: OpenedDisk) => Promise<T>,
  options: Readonly<Record<string, unknown>> = {},
): Promise<T> {
  const opened = await openQcow2(storage, options);
  try {
    return await work(opened);
  } finally {
    await opened.graph.close(opened.disk);
  }
}

const storageOf = (file: Qcow2File): LastingStorage => new LastingStorage({ initial: file.bytes });

/** Opens a file for writing, and returns what became of it. */
async function reopened(file: Qcow2File, work: (opened: OpenedDisk) => Promise<unknown>): Promise<SparseBytes> {
  const storage = storageOf(file);
  await use(storage, work);
  expectSound(await checkFile(storage.content), 'after it was closed', 'forbidden');
  return storage.content;
}

function extensionPlace({ bytes }: Qcow2File): number {
  const header = decodeHeader(bytes.toBytes().subarray(0, 4096), bytes.length)!;
  return header.headerLength + extensionOffset(header.extensions, EXTENSION.bitmaps)!;
}

function directoryPlace(file: Qcow2File): number {
  return Number(file.uint64(extensionPlace(file) + BITMAPS_FIELD.directoryOffset));
}

async function refusal(act: Promise<unknown>): Promise<BlockError> {
  const error: unknown = await act.then(
    () => new Error('nothing was refused'),
    (reason: unknown) => reason,
  );
  if (error instanceof BlockError) return error;
  throw error;
}

describe('bitmaps in the file', () => {
  it('are as they were after the image was closed and opened', async () => {
    await reopened(await withBitmaps(), async ({ disk }) => {
      expect(await startAsync(listBitmaps(disk.node))).toEqual(
        ['a', 'b'].map((name) => ({
          name,
          granularity: GRANULARITY,
          count: 64 * KiB,
          recording: true,
          busy: false,
          persistent: true,
          inconsistent: false,
        })),
      );
    });
  });

  it('keep their clusters when nothing changes, and take no more', async () => {
    const file = await withBitmaps();
    const content = await reopened(file, async () => undefined);
    expect(content.toBytes()).toEqual(file.bytes.toBytes());
  });

  it('say that they are in use while the image is open for writing, and are listed so', async () => {
    const storage = storageOf(await withBitmaps());
    await use(storage, async ({ disk }) => {
      const { node } = disk;
      await disk.write(0, new Uint8Array(512).fill(2));
      await disk.flush();
      const cut = new LastingStorage({ initial: storage.content, readOnly: true });
      await use(
        cut,
        async (other) => {
          const list = await startAsync(listBitmaps(other.disk.node));
          expect(list.map(({ inconsistent }) => inconsistent)).toEqual([true, true]);
        },
        { 'read-only': true },
      );
      expect(node.bitmaps.require('a').dirtyBytes).toBe(64 * KiB + GRANULARITY);
    });
  });

  it('that are inconsistent are kept, cannot be used, and can be removed', async () => {
    const file = await withBitmaps();
    const place = directoryPlace(file);
    file.setUint32(place + BITMAP_FIELD.flags, file.uint32(place + BITMAP_FIELD.flags) | BITMAP_IN_USE);
    const kept = new Qcow2File(
      await reopened(file, async ({ graph, disk }) => {
        const change = (action: 'clear' | 'enable' | 'disable'): Promise<void> =>
          startAsync(changeBitmap(graph, disk.node, 'a', [{ action }]));
        for (const action of ['clear', 'enable', 'disable'] as const) {
          expect((await refusal(change(action))).message).toContain("Bitmap 'a' is inconsistent and cannot be used");
        }
        expect((await refusal((async () => disk.resize(KiB))())).message).toContain("Bitmap 'a' is inconsistent");
        await disk.write(0, new Uint8Array(512).fill(2));
      }),
    );
    const removed = await reopened(kept, async ({ disk }) => {
      expect(disk.node.bitmaps.require('a').inconsistent).toBe(true);
      expect(disk.node.bitmaps.require('b').dirtyBytes).toBe(64 * KiB + GRANULARITY);
      await startAsync(removeBitmap(disk.node, 'a'));
    });
    await reopened(new Qcow2File(removed), async ({ disk }) => {
      expect([...disk.node.bitmaps].map(({ name }) => name)).toEqual(['b']);
    });
  });

  it('are ignored when a program that does not know them has written to the image', async () => {
    const file = (await withBitmaps()).setUint64(FIELD.autoclearFeatures, 0);
    const storage = storageOf(file);
    await use(storage, async ({ disk }) => {
      expect(disk.node.bitmaps.size).toBe(0);
      addBitmap(disk.node, { name: 'new' });
    });
    expect(new Qcow2File(storage.content).uint64(FIELD.autoclearFeatures)).toBe(AUTOCLEAR_BITMAPS);
    expectSound(await checkFile(storage.content), 'with the clusters of the old ones leaked', 'allowed');
    await use(storage, async ({ disk }) => {
      expect([...disk.node.bitmaps].map(({ name }) => name)).toEqual(['new']);
    });
  });

  it('are resized with the disk', async () => {
    const grown = await reopened(await withBitmaps(), async ({ disk }) => {
      await disk.resize(4 * KiB * KiB);
      await disk.write(3 * KiB * KiB, new Uint8Array(512).fill(1));
    });
    await reopened(new Qcow2File(grown), async ({ disk }) => {
      expect(disk.node.bitmaps.require('a').dirtyBytes).toBe(64 * KiB + GRANULARITY);
      await disk.resize(96 * KiB);
      expect(disk.node.bitmaps.require('a').dirtyBytes).toBe(32 * KiB);
      expect((await refusal((async () => disk.resize(0))())).message).toContain('An empty disk');
    });
  });

  it('of one image are copied to another', async () => {
    const source = await openQcow2(storageOf(await withBitmaps()), { 'read-only': true });
    const target = new LastingStorage({ initial: await makeQcow2({ size: 512 * KiB, cluster_size: 4096 }) });
    await use(target, async ({ disk }) => {
      await startAsync(copyBitmaps(source.disk.node, disk.node));
    });
    await use(target, async ({ disk }) => {
      expect([...disk.node.bitmaps.require('a').dirtyAreas()]).toEqual([{ offset: 64 * KiB, length: 64 * KiB }]);
      expect(disk.node.bitmaps.require('a').enabled).toBe(true);
    });
    await source.graph.close(source.disk);
  });

  it('stand in the way of a snapshot that is to be applied', async () => {
    await reopened(await withBitmaps(), async ({ disk }) => {
      await startAsync(createSnapshot(disk.node, { name: 's' }));
      const error = await refusal(startAsync(applySnapshot(disk.node, 's')));
      expect(error.message).toContain('Device has active dirty bitmaps');
    });
  });
});

describe('extra data', () => {
  /** Gives the bitmap `b`, which is the last one, eight bytes of extra data. */
  async function withExtraData(compatible: boolean): Promise<{ file: Qcow2File; place: number }> {
    const file = await withBitmaps();
    const place = directoryPlace(file);
    const last = place + BITMAP_ENTRY_LENGTH + 8;
    const name = new Uint8Array(1);
    file.bytes.read(last + BITMAP_ENTRY_LENGTH, name);
    file.bytes.write(last + BITMAP_ENTRY_LENGTH, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, ...name, 0, 0, 0, 0, 0, 0, 0));
    file.setUint32(last + BITMAP_FIELD.extraDataSize, 8);
    if (compatible) {
      file.setUint32(last + BITMAP_FIELD.flags, file.uint32(last + BITMAP_FIELD.flags) | BITMAP_EXTRA_DATA_COMPATIBLE);
    }
    const size = extensionPlace(file) + BITMAPS_FIELD.directorySize;
    file.setUint64(size, file.uint64(size) + 8n);
    return { file, place };
  }

  it('is kept with a bitmap that may be used all the same', async () => {
    const { file } = await withExtraData(true);
    const content = new Qcow2File(
      await reopened(file, async ({ disk }) => {
        expect(disk.node.bitmaps.require('b').inconsistent).toBe(false);
        await disk.write(0, new Uint8Array(512).fill(2));
      }),
    );
    const last = directoryPlace(content) + BITMAP_ENTRY_LENGTH + 8;
    expect(content.uint64(last + BITMAP_ENTRY_LENGTH)).toBe(0x0102030405060708n);
    expect(content.uint32(last + BITMAP_FIELD.flags)).toBe(BITMAP_EXTRA_DATA_COMPATIBLE | 2);
  });

  it('makes a bitmap useless where it is not said to be compatible', async () => {
    const { file } = await withExtraData(false);
    await reopened(file, async ({ disk }) => {
      expect(disk.node.bitmaps.require('b').inconsistent).toBe(true);
      expect(disk.node.bitmaps.require('a').inconsistent).toBe(false);
    });
  });
});

describe('broken bitmaps', () => {
  const entry = (file: Qcow2File, field: keyof typeof BITMAP_FIELD): number =>
    directoryPlace(file) + BITMAP_FIELD[field];
  const table = (file: Qcow2File): number => Number(file.uint64(entry(file, 'tableOffset')));
  type Damages = Readonly<Record<string, (file: Qcow2File) => unknown>>;
  /** To the directory: no bitmap can be told from the others. */
  const directoryDamages: Damages = {
    'no bitmaps in the extension': (file) => file.setUint32(extensionPlace(file), 0),
    'too many bitmaps': (file) => file.setUint32(extensionPlace(file), 65_536),
    'more bitmaps than said': (file) => file.setUint32(extensionPlace(file), 1),
    'fewer bitmaps than said': (file) => file.setUint32(extensionPlace(file), 3),
    'a reserved field': (file) => file.setUint32(extensionPlace(file) + BITMAPS_FIELD.reserved, 1),
    'a directory that is not aligned': (file) =>
      file.setUint64(extensionPlace(file) + BITMAPS_FIELD.directoryOffset, 1000),
    'a directory outside the file': (file) =>
      file.setUint64(extensionPlace(file) + BITMAPS_FIELD.directoryOffset, 2 ** 40),
    'a directory that is too long': (file) =>
      file.setUint64(extensionPlace(file) + BITMAPS_FIELD.directorySize, 2 ** 30),
    'no name': (file) => file.setUint32(entry(file, 'type'), 0x01_0c_00_00),
    'extra data without an end': (file) => file.setUint32(entry(file, 'extraDataSize'), 0xffff_fff8),
  };
  /** To the bitmap `a` alone. */
  const bitmapDamages: Damages = {
    'an unknown type': (file) => file.setUint32(entry(file, 'type'), 0x02_0c_00_01),
    'an unknown flag': (file) => file.setUint32(entry(file, 'flags'), 8),
    'a granularity of 2^40': (file) => file.setUint32(entry(file, 'type'), 0x01_28_00_01),
    'a table of another length': (file) => file.setUint32(entry(file, 'tableSize'), 7),
    'a table in the header': (file) => file.setUint64(entry(file, 'tableOffset'), 0),
    'a table outside the file': (file) => file.setUint64(entry(file, 'tableOffset'), 2 ** 50),
    'a table entry with reserved bits': (file) => file.setUint64(table(file), 2n ** 60n),
    'a table entry outside the file': (file) => file.setUint64(table(file), 2n ** 40n),
    'a table entry with an offset that is all ones': (file) => file.setUint64(table(file), 0x201),
  };
  const sameName: Damages[string] = (file) =>
    file.bytes.write(directoryPlace(file) + 32 + BITMAP_ENTRY_LENGTH, Uint8Array.of(0x61));
  const damages: Damages = { ...directoryDamages, ...bitmapDamages, 'the same name twice': sameName };

  it.each(Object.entries(damages))('are refused where the image is to be written: %s', async (_what, damage) => {
    const file = await withBitmaps();
    damage(file);
    const error = await refusal(openQcow2(storageOf(file)));
    expect(error.kind).toBe('corrupt');
    expect(error.message).toMatch(/[Bb]itmap/);
    const { result } = await checkFile(file.bytes);
    expect(result.corruptions).toBeGreaterThan(0);
    // The data is not lost: it can be read, and the error comes when the bitmaps are asked for.
    await use(
      new LastingStorage({ initial: file.bytes, readOnly: true }),
      async ({ disk }) => {
        const bytes = new Uint8Array(512);
        await disk.read(64 * KiB, bytes);
        expect(bytes[0]).toBe(1);
        expect((await refusal(startAsync(listBitmaps(disk.node)))).kind).toBe('corrupt');
      },
      { 'read-only': true },
    );
  });

  it.each(Object.entries(bitmapDamages))(
    'are dropped by name by a repair, and the others stay: %s',
    async (_what, damage) => {
      const file = await withBitmaps();
      damage(file);
      const storage = storageOf(file);
      const { result } = await checkStorage(storage, 'all');
      expect(result).toMatchObject({ corruptions: 0, checkErrors: 0, leaks: 0, corruptionsFixed: 1 });
      expect(result.findings[0]!.message).toMatch(/^Dropping the dirty bitmap '.?', which is broken: /);
      const again = await checkStorage(storage, 'all');
      expect(again.result).toMatchObject({ corruptionsFixed: 0, leaksFixed: 0, findings: [] });
      await use(storage, async ({ disk }) => {
        expect((await startAsync(listBitmaps(disk.node))).map(({ name }) => name)).toEqual(['b']);
        const bitmap = disk.node.bitmaps.require('b');
        expect([bitmap.inconsistent, bitmap.isDirty(64 * KiB), bitmap.isDirty(0)]).toEqual([false, true, false]);
      });
      expectSound(await checkFile(storage.content), 'after it was open', 'forbidden');
    },
  );

  it('of one name are dropped both: which is the right one nobody knows', async () => {
    const file = await withBitmaps();
    sameName(file);
    const storage = storageOf(file);
    const { result } = await checkStorage(storage, 'all');
    expect(result).toMatchObject({ corruptions: 0, checkErrors: 0, leaks: 0, corruptionsFixed: 2 });
    await use(storage, async ({ disk }) => expect(await startAsync(listBitmaps(disk.node))).toEqual([]));
    expectSound(await checkFile(storage.content), 'after it was open', 'forbidden');
  });

  it('with a header extension that goes across a sector are dropped by name too', async () => {
    const file = await withBitmaps({ cluster_size: 4096 });
    const header = decodeHeader(file.bytes.toBytes().subarray(0, 4096), file.bytes.length)!;
    const unknown = { type: 0x1234_5678, data: new Uint8Array((2 * 512 - 24 - (extensionPlace(file) % 512)) % 512) };
    file.bytes.write(0, encodeHeader({ ...header, extensions: [unknown, ...header.extensions] }));
    expect((extensionPlace(file) % 512) + 24).toBeGreaterThan(512);
    bitmapDamages['an unknown flag']!(file);
    const storage = storageOf(file);
    const { result } = await checkStorage(storage, 'all');
    expect(result).toMatchObject({ corruptions: 0, checkErrors: 0, leaks: 0, corruptionsFixed: 1 });
    await use(storage, async ({ disk }) => {
      expect((await startAsync(listBitmaps(disk.node))).map(({ name }) => name)).toEqual(['b']);
    });
  });

  it.each(Object.entries(directoryDamages))(
    'are dropped by a repair, all of them, and the image takes writes again: %s',
    async (_what, damage) => {
      const file = await withBitmaps();
      damage(file);
      const storage = storageOf(file);
      const { result } = await checkStorage(storage, 'all');
      expect(result).toMatchObject({ corruptions: 0, checkErrors: 0, leaks: 0 });
      expect(result.findings[0]!.message).toMatch(/Dropping the dirty bitmaps, which are broken/);
      expectSound(await checkFile(storage.content), 'after the repair', 'forbidden');
      await use(storage, async ({ disk }) => {
        const bytes = new Uint8Array(512);
        await disk.read(64 * KiB, bytes);
        expect(bytes[0]).toBe(1);
        expect(await startAsync(listBitmaps(disk.node))).toEqual([]);
        addBitmap(disk.node, { name: 'new' });
        await disk.write(0, bytes);
      });
      expectSound(await checkFile(storage.content), 'after it was written', 'forbidden');
    },
  );

  it('survive a repair at open that nobody asked for, which is refused', async () => {
    const file = await withBitmaps();
    damages['no name']!(file);
    file.setUint64(FIELD.incompatibleFeatures, INCOMPATIBLE_DIRTY);
    expect((await refusal(openQcow2(storageOf(file)))).message).toMatch(/could not be repaired/);
    expect(file.uint64(FIELD.autoclearFeatures) & AUTOCLEAR_BITMAPS).toBe(AUTOCLEAR_BITMAPS);
  });

  it('are there, or gone without a trace, and the others stay, when the n-th request of a repair fails', async () => {
    for (let nth = 1; ; nth++) {
      const file = await withBitmaps();
      bitmapDamages['an unknown type']!(file);
      const storage = storageOf(file);
      const failing = new FailingStorage(storage, { verbs: ['write', 'flush'], nth, times: 1, kind: 'io' });
      const failed = await checkStorage(failing, 'all').then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failing.failures === 0) break;
      expect(failed, `request ${nth}`).toMatchObject({ kind: 'io' });
      const { result } = await checkStorage(storage, 'all');
      expect(result, `request ${nth}`).toMatchObject({ corruptions: 0, checkErrors: 0, leaks: 0 });
      await use(storage, async ({ disk }) => {
        expect((await startAsync(listBitmaps(disk.node))).map(({ name }) => name)).toEqual(['b']);
        await disk.write(0, new Uint8Array(512));
      });
      expectSound(await checkFile(storage.content), `request ${nth}`, 'forbidden');
    }
  });

  it('are gone, and the others there, whenever the power is cut in a repair that is repeated', async () => {
    const file = await withBitmaps();
    bitmapDamages['a table entry outside the file']!(file);
    const storage = storageOf(file);
    await checkStorage(storage, 'all');
    let cuts = 0;
    for (const cut of powerCuts(storage, { random: new Random(5), samples: 2 })) {
      const after = new LastingStorage({ initial: cut.content });
      // Who does not repeat it is refused, or can write without being stopped.
      const unrepaired = new LastingStorage({ initial: cut.content });
      await use(unrepaired, ({ disk }) => Promise.resolve(disk.write(0, new Uint8Array(256 * KiB).fill(2)))).catch(
        (error: unknown) => expect(String(error)).toMatch(/its table is broken/),
      );
      const { result } = await checkStorage(after, 'all');
      expect(result, cut.description).toMatchObject({ corruptions: 0, checkErrors: 0, leaks: 0 });
      await use(after, async ({ disk }) => {
        expect((await startAsync(listBitmaps(disk.node))).map(({ name }) => name)).toEqual(['b']);
      });
      cuts++;
    }
    expect(cuts).toBeGreaterThan(5);
  });

  it('do not fill the memory when many tables lead to one cluster', async () => {
    const file = await withBitmaps({ size: 2 ** 36, cluster_size: 4096 });
    const offset = table(file);
    const data = file.bytes.length - (file.bytes.length % 4096) - 4096;
    for (let index = 0; index < file.uint32(entry(file, 'tableSize')); index++) {
      file.setUint64(offset + index * 8, data);
    }
    await use(
      new LastingStorage({ initial: file.bytes, readOnly: true }),
      async ({ disk }) => {
        const error = await refusal(startAsync(listBitmaps(disk.node)));
        expect(error.message).toContain('more bits than the file has room for');
      },
      { 'read-only': true },
    );
  });
});

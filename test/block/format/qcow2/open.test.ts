import { describe, expect, it } from 'vitest';
import { BlockError } from '../../../../src/block/error.ts';
import { findExtension } from '../../../../src/block/format/qcow2/extensions.ts';
import { decodeHeader, type Qcow2Header } from '../../../../src/block/format/qcow2/header.ts';
import {
  EXTENSION,
  FIELD,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DIRTY,
} from '../../../../src/block/format/qcow2/layout.ts';
import { CountingStorage } from '../../../support/counting-storage.ts';
import { FailingStorage } from '../../../support/failing-storage.ts';
import { checkFile, expectSound } from '../../../support/qcow2-check.ts';
import { openImage, Qcow2File } from '../../../support/qcow2-file.ts';
import { powerCuts } from '../../../support/power-cut.ts';
import { Random } from '../../../support/random.ts';
import { SimulatedStorage } from '../../../support/simulated-storage.ts';

const MiB = 2 ** 20;

function storageOf(file: Qcow2File, readOnly = false): SimulatedStorage {
  return new SimulatedStorage({ initial: file.bytes, readOnly });
}

function headerOf(storage: SimulatedStorage): Qcow2Header {
  const bytes = storage.content.toBytes();
  return decodeHeader(bytes, bytes.length)!;
}

async function refusal(file: Qcow2File, options = {}, flags = {}): Promise<BlockError> {
  const error: unknown = await openImage(storageOf(file), options, flags).then(
    () => new Error('it was opened'),
    (reason: unknown) => reason,
  );
  if (error instanceof BlockError) return error;
  throw error;
}

describe('images that were not closed, or are damaged', () => {
  async function dirty(): Promise<Qcow2File> {
    const file = await Qcow2File.create({ size: MiB, preallocation: 'metadata', lazy_refcounts: true });
    // The refcount of the first data cluster was not written.
    file.bytes.write(2 * 65536 + 2 * 5, new Uint8Array(2));
    return file.setUint64(FIELD.incompatibleFeatures, INCOMPATIBLE_DIRTY);
  }

  it('a dirty image is repaired when it is opened for writing', async () => {
    const storage = storageOf(await dirty());
    const { image } = await openImage(storage);
    expect(image.info().dirty).toBe(false);
    expectSound(await checkFile(storage.content), 'after opening', 'forbidden');
  });

  it('a dirty image is read as it is', async () => {
    const storage = storageOf(await dirty(), true);
    const { image } = await openImage(storage, {}, { readOnly: true });
    expect(image.info()).toMatchObject({ dirty: true, corrupt: false });
    expect(await image.map(0, 512)).toMatchObject({ kind: 'data' });
    expect(storage.log).toEqual([]);
  });

  it('a dirty image that is opened to be checked is left alone, and not written before it is repaired', async () => {
    const storage = storageOf(await dirty());
    const { image } = await openImage(storage, {}, { check: true });
    await expect((async () => image.allocate!(0, 512))()).rejects.toThrow(/opened to be checked/);
    expect(storage.log).toEqual([]);
    const result = await image.check!('all');
    expect(result.corruptionsFixed).toBeGreaterThan(0);
    expect(image.info().dirty).toBe(false);
    await (await image.allocate!(0, 512)).commit();
    await image.close();
    expectSound(await checkFile(storage.content), 'after repair', 'forbidden');
  });

  it('a corrupt image is not opened for writing but to be repaired', async () => {
    const file = await Qcow2File.create({ size: MiB });
    file.setUint64(FIELD.incompatibleFeatures, INCOMPATIBLE_CORRUPT);
    const error = await refusal(file);
    expect(error.kind).toBe('corrupt');
    expect(error.message).toMatch(/marked corrupt/);
    const { image } = await openImage(storageOf(file), {}, { readOnly: true });
    expect(image.info()).toMatchObject({ corrupt: true, specific: { corrupt: true } });
    const repaired = storageOf(file);
    const opened = await openImage(repaired, {}, { check: true });
    await expect((async () => opened.image.allocate!(0, 512))()).rejects.toThrow(/marked corrupt/);
    await opened.image.check!('all');
    expect(opened.image.info().corrupt).toBe(false);
    expect(new Qcow2File(repaired.content).uint64(FIELD.incompatibleFeatures)).toBe(0n);
  });

  it('an image without a refcount table can be read only', async () => {
    const file = await Qcow2File.create({ size: MiB });
    file.setUint32(FIELD.refcountTableClusters, 0);
    expect((await refusal(file)).message).toMatch(/no refcount table/);
    await openImage(storageOf(file), {}, { readOnly: true });
  });

  it('an entry of the refcount table that cannot be is named when it is needed', async () => {
    const file = await Qcow2File.create({ size: MiB });
    file.setUint64(65536, 0x10200n);
    const { image } = await openImage(storageOf(file));
    await expect((async () => image.allocate!(0, 512))()).rejects.toThrow(/Entry 0 of the refcount table/);
  });
});

describe('features of later versions', () => {
  it('autoclear bits are cleared, and stable, before anything else is written', async () => {
    const file = await Qcow2File.create({ size: MiB });
    file.setUint64(FIELD.autoclearFeatures, 1n | (1n << 40n));
    const reading = storageOf(file, true);
    await openImage(reading, {}, { readOnly: true });
    expect(reading.log).toEqual([]);
    const storage = storageOf(file);
    await openImage(storage);
    expect(storage.log.map(({ kind }) => kind)).toEqual(['begin', 'end', 'flush-begin', 'flush-end']);
    expect(new Qcow2File(storage.content).uint64(FIELD.autoclearFeatures)).toBe(0n);
  });

  it('unknown compatible features are kept', async () => {
    const file = await Qcow2File.create({ size: MiB });
    file.setUint64(FIELD.compatibleFeatures, 1n << 60n);
    const storage = storageOf(file);
    const { image } = await openImage(storage);
    await image.resize!(2 * MiB, 'off', 0);
    await image.close();
    expect(new Qcow2File(storage.content).uint64(FIELD.compatibleFeatures)).toBe(1n << 60n);
  });

  it('an image with a damaged snapshot table is only opened to be checked', async () => {
    const file = await Qcow2File.create({ size: MiB, preallocation: 'metadata' });
    file.setUint32(FIELD.nbSnapshots, 1).setUint64(FIELD.snapshotsOffset, 65536 * 5);
    file.setUint32(65536 * 5 + 36, 1025);
    const error = await refusal(file);
    expect(error.kind).toBe('corrupt');
    expect(error.message).toMatch(/Entry 0 of the snapshot table has 1025 bytes of extra data/);
    const { image } = await openImage(storageOf(file), {}, { check: true });
    await expect((async () => image.allocate!(0, 512))()).rejects.toMatchObject({ kind: 'corrupt' });
  });

  it('a read-only image refuses to change', async () => {
    const file = await Qcow2File.create({ size: MiB, preallocation: 'metadata' });
    const storage = storageOf(file);
    const { image } = await openImage(storage, {}, { readOnly: true });
    for (const change of [
      () => image.allocate!(0, 512),
      () => image.markZero!(0, 65536, {}),
      () => image.discard!(0, 65536),
      () => image.resize!(2 * MiB, 'off', 0),
      () => image.changeBackingFile!(undefined),
      () => image.setBackingIdentity!('x'),
    ]) {
      await expect((async () => change())()).rejects.toMatchObject({ kind: 'permission' });
    }
    await image.flush!();
    await image.close();
    expect(storage.log).toEqual([]);
  });
});

describe('options', () => {
  const cases: readonly [Readonly<Record<string, unknown>>, RegExp][] = [
    [{ 'l2-cache-entry-size': 256 }, /power of two between 512 and the cluster size \(65536\), not 256/],
    [{ 'l2-cache-entry-size': 131072 }, /not 131072/],
    [{ 'l2-cache-entry-size': 3000 }, /not 3000/],
    [{ 'cache-size': MiB, 'l2-cache-size': MiB, 'refcount-cache-size': MiB }, /may not be set at the same time/],
    [{ 'cache-size': 1024, 'l2-cache-size': 2048 }, /l2-cache-size may not exceed cache-size/],
    [{ 'cache-size': 1024, 'refcount-cache-size': 2048 }, /refcount-cache-size may not exceed cache-size/],
    [{ 'l2-cache-size': 2 ** 40 }, /'l2-cache-size' is 1099511627776 bytes/],
    [{ 'overlap-check': 'sometimes' }, /'overlap-check'.*one of none, constant, cached, all/],
    [{ 'overlap-check': { template: 'sometimes' } }, /'template' of option 'overlap-check' must be one of/],
    [{ 'overlap-check': { 'inactive-l3': true } }, /'inactive-l3' is not known to option 'overlap-check'/],
    [{ 'pass-discard-snapshot': true }, /not known/],
  ];

  it.each(cases)('%o is refused', async (options, message) => {
    const error = await refusal(await Qcow2File.create({ size: MiB }), options);
    expect(error.kind).toBe('invalid');
    expect(error.message).toMatch(message);
  });

  it('lazy refcounts are refused in version 2', async () => {
    const file = await Qcow2File.create({ size: MiB, compat: '0.10' });
    expect((await refusal(file, { 'lazy-refcounts': true })).message).toMatch(/compatibility level 1.1/);
  });

  it('the size of a slice is what is read at once', async () => {
    const file = await Qcow2File.create({ size: MiB, preallocation: 'metadata' });
    const counting = new CountingStorage(storageOf(file));
    const { image } = await openImage(counting, { 'l2-cache-entry-size': 512 });
    counting.take();
    await image.map(0, 512);
    expect(counting.take()).toMatchObject({ reads: 1, readBytes: 512 });
  });
});

describe('what the header says of the backing file', () => {
  it('is changed, keeps what it does not know, and fits or is refused', async () => {
    const file = await Qcow2File.create({ size: MiB, backing_file: 'old.img', backing_fmt: 'raw' });
    const storage = storageOf(file);
    const { image } = await openImage(storage);
    expect(image.backing).toEqual({ filename: 'old.img', format: 'raw' });
    await image.setBackingIdentity!('{"size":1}');
    expect(image.backingIdentity).toBe('{"size":1}');
    expect(image.backing).toEqual({ filename: 'old.img', format: 'raw' });
    await image.changeBackingFile!({ filename: `${'long/'.repeat(100)}new.qcow2`, format: 'qcow2' });
    expect(image.backing?.format).toBe('qcow2');
    // What was remembered was another file's.
    expect(image.backingIdentity).toBeUndefined();
    await image.setBackingIdentity!('{"size":2}');
    await image.close();
    const again = await openImage(storageOf(new Qcow2File(storage.content)));
    expect(again.image.backing).toEqual({ filename: `${'long/'.repeat(100)}new.qcow2`, format: 'qcow2' });
    expect(again.image.backingIdentity).toBe('{"size":2}');
    await again.image.changeBackingFile!(undefined);
    expect(again.image.backing).toBeUndefined();
    expect(again.image.info()).not.toHaveProperty('backingFilename');
    const bytes = storage.content.toBytes();
    const header = decodeHeader(bytes, bytes.length)!;
    expect(findExtension(header.extensions, EXTENSION.featureNameTable)).toHaveLength(384);
    expectSound(await checkFile(storage.content), 'after changes', 'forbidden');
  });

  it('is the old or the new one after a power cut', async () => {
    for (const seed of [1, 2, 3]) {
      const random = new Random(seed);
      const names = ['old.img', `${'x'.repeat(random.between(1, 1000))}.img`, 'c.img'];
      const storage = storageOf(await Qcow2File.create({ size: MiB, backing_file: names[0], backing_fmt: 'raw' }));
      const { image } = await openImage(storage);
      for (const filename of names.slice(1)) await image.changeBackingFile!({ filename, format: 'raw' });
      await image.close();
      for (const { content, description, position } of powerCuts(storage, { random, samples: 5 })) {
        const opened = await openImage(storageOf(new Qcow2File(content)));
        expect(names, `seed ${seed}, position ${position}: ${description}`).toContain(opened.image.backing?.filename);
        expect(opened.image.backing?.format).toBe('raw');
      }
      expect(storage.content.toBytes().includes('x'.charCodeAt(0), 600)).toBe(false);
    }
  });

  it('is refused when it is too long', async () => {
    const { image } = await openImage(storageOf(await Qcow2File.create({ size: MiB })));
    const change = (filename: string, format?: string) => async () =>
      image.changeBackingFile!(format === undefined ? { filename } : { filename, format });
    await expect(change('x'.repeat(1024))()).rejects.toThrow(/takes 1024 bytes; a qcow2 header has room for 1023/);
    await expect(change('x', 'a-format-that-is-long')()).rejects.toThrow(/room for 15/);
    await expect(change('')()).rejects.toThrow(/cannot be empty/);
    await expect((async () => image.setBackingIdentity!('x'.repeat(4097)))()).rejects.toThrow(/room for 4096/);
    const small = await openImage(storageOf(await Qcow2File.create({ size: MiB, cluster_size: 512 })));
    await small.image.setBackingIdentity!('x'.repeat(400));
    expect(small.image.backingIdentity).toBeUndefined();
    const name = 'long'.repeat(110);
    const full = await openImage(
      storageOf(await Qcow2File.create({ size: MiB, cluster_size: 1024, backing_file: name, backing_fmt: 'raw' })),
    );
    await full.image.setBackingIdentity!('x'.repeat(100));
    expect(full.image.backingIdentity, 'no power cut may break what nobody asked to change').toBeUndefined();
    expect(full.image.backing?.filename).toBe(name);
  });

  it('stays whole with its identity and all other extensions at every power cut', async () => {
    for (const [seed, compat] of [
      [1, '1.1'],
      [2, '1.1'],
      [3, '0.10'],
    ] as const) {
      const random = new Random(seed);
      const backing_file = 'b'.repeat(random.between(1, 900));
      const file = await Qcow2File.create({
        size: MiB,
        backing_file,
        backing_fmt: 'raw',
        cluster_size: 16_384,
        compat,
      });
      const storage = storageOf(file);
      const { image } = await openImage(storage);
      const identities = [undefined, '1'.repeat(random.between(1, 300)), '2'.repeat(random.between(301, 900)), '3'];
      for (const identity of identities.slice(1)) await image.setBackingIdentity!(identity!);
      await image.close();
      for (const { content, description, position } of powerCuts(storage, { random, samples: 2 })) {
        const what = `seed ${seed}, position ${position}: ${description}`;
        const cut = storageOf(new Qcow2File(content));
        const opened = await openImage(cut);
        expect(identities, what).toContain(opened.image.backingIdentity);
        expect(opened.image.backing, what).toEqual({ filename: backing_file, format: 'raw' });
        await opened.image.setBackingIdentity!('last');
        await opened.image.close();
        expect(headerOf(cut), what).toEqual({
          ...headerOf(storage),
          extensions: headerOf(storage).extensions.map(({ type, data }) => ({
            type,
            data: type === EXTENSION.backingIdentity ? new TextEncoder().encode('last') : data,
          })),
          backingFileOffset: expect.any(Number) as number,
        });
      }
    }
  });

  it('is the old or the new one when the n-th request fails, and the image goes on or says that it does not', async () => {
    const names = ['old.img', `${'x'.repeat(700)}.img`];
    for (let nth = 1; ; nth++) {
      const storage = storageOf(await Qcow2File.create({ size: MiB, backing_file: names[0], backing_fmt: 'raw' }));
      const failing = new FailingStorage(storage, { verbs: ['write', 'flush'], nth, times: 1, kind: 'io' });
      const { image } = await openImage(failing);
      expect(failing.failures, 'opening only reads').toBe(0);
      await (async () => image.changeBackingFile!({ filename: names[1]!, format: 'raw' }))().catch(() => undefined);
      if (failing.failures === 0) break;
      expect(names).toContain(image.backing?.filename);
      await image.allocate!(0, 512);
      await image.close();
      const again = await openImage(storageOf(new Qcow2File(storage.content)));
      expect(again.image.backing?.filename, `request ${nth}`).toBe(image.backing?.filename);
    }
  });
});

it('info has the keys of qemu-img', async () => {
  const version3 = await openImage(
    storageOf(await Qcow2File.create({ size: MiB, lazy_refcounts: true, refcount_bits: 8 })),
  );
  expect(version3.image.info()).toMatchObject({
    format: 'qcow2',
    virtualSize: MiB,
    clusterSize: 65536,
    dirty: false,
    specific: {
      compat: '1.1',
      'compression-type': 'zlib',
      'lazy-refcounts': true,
      'refcount-bits': 8,
      corrupt: false,
      'extended-l2': false,
    },
  });
  const version2 = await openImage(storageOf(await Qcow2File.create({ size: MiB, compat: '0.10' })));
  expect(version2.image.info().specific).toEqual({ compat: '0.10', 'compression-type': 'zlib', 'refcount-bits': 16 });
});

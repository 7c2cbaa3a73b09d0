/** Amending qcow2 images beside qemu-img: the same content, the same facts, the same refusals. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import { amendImage } from '../../src/block/image/amend.ts';
import { imageInfo } from '../../src/block/image/info.ts';
import { openQcow2 } from '../support/qcow2-session.ts';
import { describeWithQemu, qemuCheck, qemuImg, qemuIo, runTool, TemporaryFolder } from '../support/qemu.ts';
import { LastingStorage } from '../support/scenario.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';

const MiB = 2 ** 20;

type Given = Readonly<Record<string, string | number | boolean>>;

function text(given: Given): string {
  return Object.entries(given)
    .map(([name, value]) => `${name}=${value === true ? 'on' : value === false ? 'off' : String(value)}`)
    .join(',');
}

/** Amends a file here, and writes it back. */
async function ourAmend(path: string, given: Given, base?: Uint8Array, open: Given = {}): Promise<void> {
  const storage = new LastingStorage({ initial: new Uint8Array(readFileSync(path)) });
  const below = base === undefined ? undefined : new SimulatedStorage({ initial: base, readOnly: true });
  const { graph, disk } = await openQcow2(storage, open, below);
  try {
    await startAsync(amendImage(graph, disk.node, given));
  } finally {
    await graph.close(disk);
    writeFileSync(path, storage.content.toBytes());
  }
}

async function content(path: string, folder: TemporaryFolder): Promise<Buffer> {
  const raw = folder.file('content.raw');
  await qemuImg('convert', '-f', 'qcow2', '-O', 'raw', path, raw);
  return readFileSync(raw);
}

async function facts(path: string): Promise<Record<string, unknown>> {
  const all = JSON.parse(await qemuImg('info', '--output=json', path)) as Record<string, unknown>;
  return Object.fromEntries(
    ['virtual-size', 'format-specific', 'backing-filename', 'backing-filename-format'].map((name) => [name, all[name]]),
  );
}

async function expectClean(path: string): Promise<void> {
  const { counts, stderr } = await qemuCheck(path, 'qcow2');
  expect(stderr).toBe('');
  expect(counts).toMatchObject({ 'check-errors': 0 });
  expect([counts?.corruptions ?? 0, counts?.leaks ?? 0]).toEqual([0, 0]);
}

/** An image with data, zero clusters with and without space, and holes. */
async function makeImage(folder: TemporaryFolder, options: Given, backing: boolean): Promise<string> {
  const path = folder.file('disk.qcow2');
  if (backing) {
    writeFileSync(folder.file('base'), Buffer.alloc(4 * MiB, 0x55));
    await qemuImg(
      'create',
      '-q',
      '-f',
      'qcow2',
      '-b',
      folder.file('base'),
      '-F',
      'raw',
      '-o',
      text(options),
      path,
      '4M',
    );
  } else {
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', text(options), path, '4M');
  }
  await qemuIo(
    path,
    'qcow2',
    'write -P 1 0 100k',
    'write -P 2 1000k 700k',
    'write -P 3 3M 512',
    'write -z 64k 64k',
    'write -z -u 1500k 100k',
    'write -z 2M 300k',
  );
  return path;
}

/** Digests of the disk and of its snapshots. */
async function allContents(path: string, folder: TemporaryFolder): Promise<string[]> {
  const digests = [digest(await content(path, folder))];
  for (const name of ['one', 'two', 'three']) {
    const raw = folder.file('content.raw');
    await qemuImg('convert', '-f', 'qcow2', '-l', `snapshot.name=${name}`, '-O', 'raw', path, raw);
    digests.push(digest(readFileSync(raw)));
  }
  return digests;
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describeWithQemu('qcow2 amend and qemu-img amend', () => {
  it.each([
    ...[1, 64].map((refcount_bits) => ({ cluster_size: 65_536, to: { refcount_bits } })),
    ...[1, 2, 4, 8, 16, 32, 64].map((refcount_bits) => ({ cluster_size: 512, to: { refcount_bits } })),
    { cluster_size: 4096, to: { lazy_refcounts: true } },
    { cluster_size: 4096, to: { lazy_refcounts: true, refcount_bits: 64, size: 9 * MiB } },
    { cluster_size: 4096, to: { size: 2 * MiB } },
    { cluster_size: 4096, to: { compat: '0.10' } },
    { cluster_size: 512, to: { compat: 'v2', size: 5 * MiB } },
    { cluster_size: 65_536, to: { compat: '0.10' } },
    { cluster_size: 65_536, to: { compat: '1.1', lazy_refcounts: false } },
  ] as readonly { cluster_size: number; to: Given }[])(
    'makes of an image what qemu-img makes: %o',
    async ({ cluster_size, to }) => {
      for (const backing of [false, true]) {
        using folder = new TemporaryFolder();
        const path = await makeImage(folder, { cluster_size }, backing);
        const theirs = folder.write('theirs.qcow2', readFileSync(path));
        await qemuImg('amend', '-f', 'qcow2', '-o', text(to), theirs);
        await ourAmend(path, to, backing ? folder.read('base') : undefined);
        expect(await facts(path)).toEqual(await facts(theirs));
        expect((await content(path, folder)).equals(await content(theirs, folder))).toBe(true);
        await expectClean(path);
      }
    },
  );

  it.each([
    { cluster_size: 4096 },
    { cluster_size: 65_536, lazy_refcounts: true },
    { cluster_size: 512, refcount_bits: 1 },
  ])('there and back again, by turns: %o', async (given) => {
    using folder = new TemporaryFolder();
    const path = await makeImage(folder, given, true);
    const base = folder.read('base');
    const before = await content(path, folder);
    await qemuImg('bitmap', '--add', path, 'b');
    await ourAmend(path, { compat: '0.10', refcount_bits: 16 }, base);
    await expectClean(path);
    expect(await qemuImg('info', path)).toMatch(/compat: 0.10/);
    await qemuImg('amend', '-f', 'qcow2', '-o', 'compat=1.1', path);
    await ourAmend(path, { refcount_bits: 64, lazy_refcounts: true }, base);
    await expectClean(path);
    await qemuImg('amend', '-f', 'qcow2', '-o', 'refcount_bits=16,compat=0.10', path);
    await ourAmend(path, { compat: 'v3' }, base);
    await expectClean(path);
    expect((await content(path, folder)).equals(before)).toBe(true);
    const theirs = folder.file('new.qcow2');
    await qemuImg(
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      text({ cluster_size: given.cluster_size }),
      '-b',
      folder.file('base'),
      '-F',
      'raw',
      theirs,
    );
    // Refcount width, header length, backing format and, where clusters have room, feature names stand where QEMU writes them.
    const end = given.cluster_size === 65_536 ? 520 : 128;
    const wanted = readFileSync(theirs).subarray(96, end);
    expect(Buffer.from(folder.read('disk.qcow2').subarray(96, end)).equals(wanted)).toBe(true);
  });

  it('an image with snapshots gets another width and level, and its snapshots their fields', async () => {
    using folder = new TemporaryFolder();
    const path = folder.file('disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', path, '4M');
    await qemuIo(path, 'qcow2', 'write -P 1 0 1M');
    await qemuImg('snapshot', '-c', 'one', path);
    await qemuIo(path, 'qcow2', 'write -P 2 512k 1M');
    await ourAmend(path, { compat: '1.1', refcount_bits: 8 });
    await expectClean(path);
    await qemuIo(path, 'qcow2', 'read -P 1 0 512k', 'read -P 2 512k 1M');
    await expect(ourAmend(path, { refcount_bits: 1 })).rejects.toThrow(
      /Cannot decrease refcount entry width to 1 bits/,
    );
    await expectClean(path);
    await ourAmend(path, { compat: '0.10', refcount_bits: 16 });
    await expectClean(path);
    await qemuImg('snapshot', '-a', 'one', path);
    await qemuIo(path, 'qcow2', 'read -P 1 0 1M', 'read -P 0 1M 1M');
    await expectClean(path);
  });

  it.each([false, true])(
    'zero clusters of snapshots are filled on the way to level 0.10 (backing file: %s)',
    async (backing) => {
      for (const cluster_size of [512, 65_536]) {
        using folder = new TemporaryFolder();
        const path = await makeImage(folder, { cluster_size }, backing);
        await qemuImg('snapshot', '-c', 'one', path);
        await qemuImg('snapshot', '-c', 'two', path);
        // Reserved for zeroes here, and data in the snapshots.
        await qemuIo(path, 'qcow2', 'write -z 1100k 200k', 'write -P 5 2M 64k');
        await qemuImg('snapshot', '-c', 'three', path);
        await qemuIo(path, 'qcow2', 'write -P 6 1100k 64k', 'write -z 3M 512k');
        const before = await allContents(path, folder);
        await ourAmend(path, { compat: '0.10' }, backing ? folder.read('base') : undefined);
        expect(await qemuImg('info', path)).toMatch(/compat: 0.10/);
        await expectClean(path);
        expect(await allContents(path, folder)).toEqual(before);
        await qemuImg('snapshot', '-a', 'two', path);
        await expectClean(path);
        for (const name of ['one', 'two', 'three']) await qemuImg('snapshot', '-d', name, path);
        await expectClean(path);
      }
    },
  );

  it('refuses what qemu-img refuses, in its words, and the image stays as it was', async () => {
    const MADE: Given = {};
    const refused: readonly [Given, Given][] = [
      [MADE, { cluster_size: 4096 }],
      [MADE, { preallocation: 'metadata' }],
      [MADE, { nix: 1 }],
      [MADE, { data_file: 'x' }],
      [MADE, { data_file_raw: true }],
      [MADE, { refcount_bits: 3 }],
      [MADE, { refcount_bits: 128 }],
      [MADE, { compat: '0.9' }],
      [MADE, { compat: '0.10', lazy_refcounts: true }],
      [MADE, { compat: '0.10', refcount_bits: 8 }],
      [MADE, { backing_file: 'other' }],
      [MADE, { backing_fmt: 'raw' }],
      [MADE, { size: 1025 }],
      [{ refcount_bits: 8 }, { compat: '0.10' }],
      [{ extended_l2: true }, { compat: '0.10' }],
    ];
    for (const [options, given] of refused) {
      using folder = new TemporaryFolder();
      const path = folder.file('disk.qcow2');
      await qemuImg('create', '-q', '-f', 'qcow2', ...(options === MADE ? [] : ['-o', text(options)]), path, '1M');
      const { code, stderr } = await runTool('qemu-img', ['amend', '-f', 'qcow2', '-o', text(given), path]);
      expect(code, text(given)).toBe(1);
      const before = readFileSync(path);
      const error: unknown = await ourAmend(path, given).catch((reason: unknown) => reason);
      expect((error as Error).message, text(given)).toContain(stderr.trim().replace('qemu-img: ', ''));
      expect(readFileSync(path).subarray(0, before.length).equals(before), text(given)).toBe(true);
    }
  });

  it('an image goes on being used after it was amended', async () => {
    using folder = new TemporaryFolder();
    const path = await makeImage(folder, { cluster_size: 4096 }, false);
    const storage = new LastingStorage({ initial: folder.read('disk.qcow2') });
    const { graph, disk } = await openQcow2(storage);
    for (const given of [
      { refcount_bits: 1 },
      { lazy_refcounts: true },
      { refcount_bits: 16 },
      { compat: '0.10' },
      { compat: '1.1' },
    ]) {
      await startAsync(amendImage(graph, disk.node, given));
      await disk.write(2 * MiB, new Uint8Array(MiB).fill(9));
      await disk.writeZeroes(MiB, MiB / 2, { mayUnmap: true });
      await disk.flush();
    }
    expect((await startAsync(imageInfo(disk.node)))['format-specific']?.data).toMatchObject({
      compat: '1.1',
      'refcount-bits': 16,
    });
    await graph.close(disk);
    writeFileSync(path, storage.content.toBytes());
    await expectClean(path);
    await qemuIo(path, 'qcow2', 'read -P 9 2M 1M', 'read -P 0 1M 512k', 'read -P 2 1600k 100k');
  });
});

/** One image, two writers: QEMU's tools and this project take turns, and each must read what the other wrote. */
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { checkFile, expectSound } from '../support/qcow2-check.ts';
import { openImage } from '../support/qcow2-file.ts';
import { makeQcow2, openQcow2, readDisk } from '../support/qcow2-session.ts';
import { LastingStorage } from '../support/scenario.ts';
import { describeWithQemu, qemuCheck, qemuImg, runTool, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes, Random } from '../support/random.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';
import { SparseBytes } from '../support/sparse-bytes.ts';

const KiB = 1024;
const MiB = KiB ** 2;

interface Case {
  readonly cluster_size: number;
  readonly refcount_bits: number;
  readonly compat: '0.10' | '1.1';
  readonly lazy: boolean;
  readonly backing: boolean;
  readonly extended?: boolean;
  readonly preallocation?: string;
  /** An external data file, raw or not. */
  readonly data?: 'raw' | 'plain';
  readonly size: number;
}

const cases: readonly Case[] = [
  { cluster_size: 512, refcount_bits: 16, compat: '1.1', lazy: false, backing: false, size: MiB },
  { cluster_size: 512, refcount_bits: 64, compat: '1.1', lazy: false, backing: true, size: MiB + 512 },
  { cluster_size: 4 * KiB, refcount_bits: 1, compat: '1.1', lazy: true, backing: false, size: 2 * MiB },
  { cluster_size: 4 * KiB, refcount_bits: 16, compat: '0.10', lazy: false, backing: true, size: 2 * MiB - 1024 },
  { cluster_size: 64 * KiB, refcount_bits: 16, compat: '1.1', lazy: false, backing: true, size: 6 * MiB },
  { cluster_size: 64 * KiB, refcount_bits: 8, compat: '0.10', lazy: false, backing: false, size: 4 * MiB },
  { cluster_size: 2 * MiB, refcount_bits: 32, compat: '1.1', lazy: true, backing: false, size: 12 * MiB },
  { cluster_size: 16 * KiB, refcount_bits: 16, compat: '1.1', lazy: false, backing: false, size: MiB, extended: true },
  { cluster_size: 16 * KiB, refcount_bits: 2, compat: '1.1', lazy: true, backing: true, size: MiB, extended: true },
  {
    cluster_size: 64 * KiB,
    refcount_bits: 16,
    compat: '1.1',
    lazy: false,
    backing: true,
    size: 3 * MiB,
    extended: true,
  },
  {
    cluster_size: 32 * KiB,
    refcount_bits: 16,
    compat: '1.1',
    lazy: false,
    backing: true,
    size: MiB + 512,
    extended: true,
    preallocation: 'metadata',
  },
  {
    cluster_size: 4 * KiB,
    refcount_bits: 16,
    compat: '1.1',
    lazy: false,
    backing: false,
    size: MiB + 512,
    data: 'raw',
  },
  { cluster_size: 64 * KiB, refcount_bits: 16, compat: '1.1', lazy: true, backing: true, size: 3 * MiB, data: 'plain' },
  {
    cluster_size: 16 * KiB,
    refcount_bits: 16,
    compat: '1.1',
    lazy: false,
    backing: true,
    size: MiB,
    extended: true,
    data: 'plain',
  },
  {
    cluster_size: 16 * KiB,
    refcount_bits: 16,
    compat: '1.1',
    lazy: false,
    backing: false,
    size: MiB + 512,
    extended: true,
    data: 'raw',
  },
].map((one) => (one.compat === '0.10' ? { ...one, refcount_bits: 16 } : one) as Case);

/** What is done to a disk, by either side. Every byte of a write has the same value. */
type Step =
  | { readonly verb: 'write'; readonly offset: number; readonly length: number; readonly value: number }
  | { readonly verb: 'zero' | 'discard'; readonly offset: number; readonly length: number };

function chooseSteps(random: Random, { size, cluster_size }: Case): Step[] {
  // Large clusters take as much time as many small ones.
  const steps = cluster_size <= 4 * KiB ? 25 : cluster_size <= 64 * KiB ? 12 : 3;
  return Array.from({ length: steps }, () => {
    const verb = random.weighted({ write: 6, zero: 2, discard: 1 });
    const unit = random.pick([512, 4096, cluster_size / 32 >= 512 ? cluster_size / 32 : 512, cluster_size]);
    const offset = Math.min(size - 512, Math.floor(random.below(size) / unit) * unit);
    const length = Math.min(size - offset, unit * random.between(1, 5));
    return verb === 'write' ? { verb, offset, length, value: random.between(1, 255) } : { verb, offset, length };
  });
}

/** What the disk must hold afterwards. A discard leaves it open: such steps are only done where nobody looks at the result. */
function applySteps(expected: Uint8Array, steps: readonly Step[]): void {
  for (const step of steps) {
    if (step.verb === 'discard') continue;
    expected.fill(step.verb === 'write' ? step.value : 0, step.offset, step.offset + step.length);
  }
}

async function theirTurn(path: string, steps: readonly Step[]): Promise<void> {
  const commands = steps.map((step) =>
    step.verb === 'write'
      ? `write -P ${step.value} ${step.offset} ${step.length}`
      : step.verb === 'zero'
        ? `write -z -u ${step.offset} ${step.length}`
        : `discard ${step.offset} ${step.length}`,
  );
  const args = ['-f', 'qcow2', '-d', 'unmap', ...commands.flatMap((text) => ['-c', text]), path];
  const { code, stdout, stderr } = await runTool('qemu-io', args);
  if (code !== 0) throw new Error(`qemu-io: ${stdout}${stderr}`);
}

async function ourTurn(file: SparseBytes, base: Uint8Array | undefined, steps: readonly Step[]) {
  const storage = new LastingStorage({ initial: file });
  const { graph, disk } = await openQcow2(storage, {}, baseOf(base));
  for (const step of steps) {
    const { offset, length } = step;
    if (step.verb === 'write') await disk.write(offset, new Uint8Array(length).fill(step.value));
    else if (step.verb === 'zero') await disk.writeZeroes(offset, length, { mayUnmap: true });
    else await disk.discard(offset, length);
  }
  await graph.close(disk);
  return storage.content;
}

function baseOf(base: Uint8Array | undefined) {
  return base === undefined ? undefined : new SimulatedStorage({ initial: base, readOnly: true });
}

async function ourView(file: SparseBytes, base: Uint8Array | undefined): Promise<Uint8Array> {
  const storage = new LastingStorage({ initial: file, readOnly: true });
  const { graph, disk } = await openQcow2(storage, { 'read-only': true }, baseOf(base));
  const bytes = await readDisk(disk);
  await graph.close(disk);
  return bytes;
}

async function theirView(folder: TemporaryFolder, name: string): Promise<Uint8Array> {
  await qemuImg('convert', '-f', 'qcow2', '-O', 'raw', folder.file(name), folder.file('view.raw'));
  return folder.read('view.raw');
}

/** QEMU looks for a data file from where it runs, so the name is a whole path. */
function optionsOf(one: Case, folder: TemporaryFolder): Readonly<Record<string, unknown>> {
  return {
    size: one.size,
    cluster_size: one.cluster_size,
    compat: one.compat,
    ...(one.compat === '1.1' && { refcount_bits: one.refcount_bits, lazy_refcounts: one.lazy }),
    ...(one.extended === true && { extended_l2: true }),
    ...(one.data !== undefined && { data_file: folder.file('data.raw'), data_file_raw: one.data === 'raw' }),
    ...(one.preallocation !== undefined && { preallocation: one.preallocation }),
    ...(one.backing && { backing_file: 'base.raw', backing_fmt: 'raw' }),
  };
}

async function makeTheirs(folder: TemporaryFolder, one: Case): Promise<void> {
  const { size, ...others } = optionsOf(one, folder);
  const text = Object.entries(others).map(
    ([name, value]) => `${name}=${value === true ? 'on' : value === false ? 'off' : String(value)}`,
  );
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', text.join(','), folder.file('image.qcow2'), String(size));
}

async function expectSoundForQemu(folder: TemporaryFolder): Promise<void> {
  const { counts, stdout, stderr } = await qemuCheck(folder.file('image.qcow2'), 'qcow2');
  expect(counts, stdout + stderr).toMatchObject({ 'check-errors': 0 });
  expect(counts?.corruptions ?? 0, stderr).toBe(0);
  expect(counts?.leaks ?? 0, stderr).toBe(0);
}

/** The image's file, with its external data file beside it. */
function readFiles(folder: TemporaryFolder): SparseBytes {
  const content = SparseBytes.from(folder.read('image.qcow2'));
  if (existsSync(folder.file('data.raw'))) content.beside = SparseBytes.from(folder.read('data.raw'));
  return content;
}

function writeFiles(folder: TemporaryFolder, content: SparseBytes): void {
  folder.write('image.qcow2', content);
  if (content.beside !== undefined) folder.write('data.raw', content.beside);
}

/** A raw data file is an image of the disk of its own. */
function expectRawView(folder: TemporaryFolder, one: Case, expected: Uint8Array, what: string): void {
  if (one.data !== 'raw') return;
  expect(equalBytes(folder.read('data.raw').subarray(0, expected.length), expected), what).toBe(true);
}

describeWithQemu('qcow2 images', () => {
  it.each(cases)('two writers take turns: %o', async (one) => {
    const seed = 1000 + cases.indexOf(one);
    const random = new Random(seed);
    using folder = new TemporaryFolder();
    const base = one.backing ? new Uint8Array(Math.ceil(one.size / 1024) * 512).fill(0xba) : undefined;
    if (base !== undefined) folder.write('base.raw', base);
    if (random.chance(0.5)) await makeTheirs(folder, one);
    else writeFiles(folder, await makeQcow2(optionsOf(one, folder)));
    const expected = new Uint8Array(one.size);
    if (base !== undefined) expected.set(base.subarray(0, Math.min(base.length, one.size)));
    for (let turn = 0; turn < 2; turn++) {
      for (const side of ['theirs', 'ours']) {
        const steps = chooseSteps(random, one).filter(({ verb }) => verb !== 'discard');
        applySteps(expected, steps);
        if (side === 'theirs') await theirTurn(folder.file('image.qcow2'), steps);
        else writeFiles(folder, await ourTurn(readFiles(folder), base, steps));
        await expectSoundForQemu(folder);
        const file = readFiles(folder);
        expectSound(await checkFile(file), `seed ${seed}, ${side}`, 'forbidden');
        expectRawView(folder, one, expected, `seed ${seed}: the data file, turn ${turn}, ${side}`);
        expect(
          equalBytes(await ourView(file, base), expected),
          `seed ${seed}: what we read, turn ${turn}, ${side}`,
        ).toBe(true);
        expect(equalBytes(await theirView(folder, 'image.qcow2'), expected), `seed ${seed}: what QEMU reads`).toBe(
          true,
        );
      }
    }
    // Discards leave open what is read: both must read the same.
    const steps = chooseSteps(random, one);
    writeFiles(folder, await ourTurn(readFiles(folder), base, steps));
    await expectSoundForQemu(folder);
    await theirTurn(folder.file('image.qcow2'), chooseSteps(random, one));
    const file = readFiles(folder);
    expect(equalBytes(await ourView(file, base), await theirView(folder, 'image.qcow2'))).toBe(true);
  });

  it('what the image knows of itself is what qemu-img says', async () => {
    for (const one of cases) {
      using folder = new TemporaryFolder();
      if (one.backing) folder.write('base.raw', new Uint8Array(512));
      writeFiles(folder, await makeQcow2(optionsOf(one, folder)));
      const theirs = JSON.parse(await qemuImg('info', '--output=json', folder.file('image.qcow2'))) as Record<
        string,
        unknown
      >;
      const storage = new LastingStorage({ initial: folder.read('image.qcow2') });
      const { image } = await openImage(storage, {}, { inspect: true, readOnly: true });
      const info = image.info();
      expect({ data: info.specific, type: 'qcow2' }).toEqual(theirs['format-specific']);
      expect(info).toMatchObject({
        virtualSize: theirs['virtual-size'],
        clusterSize: theirs['cluster-size'],
        dirty: theirs['dirty-flag'],
      });
    }
  });

  it('an identity and another backing file survive QEMU writing the header', async () => {
    using folder = new TemporaryFolder();
    folder.write('base.raw', new Uint8Array(MiB).fill(5));
    folder.write('image.qcow2', await makeQcow2({ size: MiB, backing_file: 'base.raw', backing_fmt: 'raw' }));
    const storage = new LastingStorage({ initial: folder.read('image.qcow2') });
    const { image } = await openImage(storage);
    await image.setBackingIdentity!('{"size":1048576}');
    await image.close();
    folder.write('image.qcow2', storage.content);
    await qemuImg('amend', '-f', 'qcow2', '-o', 'lazy_refcounts=on', folder.file('image.qcow2'));
    await theirTurn(folder.file('image.qcow2'), [{ verb: 'write', offset: 0, length: 512, value: 1 }]);
    const again = await openImage(new LastingStorage({ initial: folder.read('image.qcow2') }));
    expect(again.image.backingIdentity).toBe('{"size":1048576}');
    expect(again.image.backing).toEqual({ filename: 'base.raw', format: 'raw' });
    const view = await theirView(folder, 'image.qcow2');
    expect([view[0], view[512]]).toEqual([1, 5]);
  });

  it('sizes change on both sides', async () => {
    using folder = new TemporaryFolder();
    folder.write('image.qcow2', await makeQcow2({ size: MiB, cluster_size: 512 }));
    for (const size of [20 * MiB, 3 * MiB - 512, 64 * MiB]) {
      const storage = new LastingStorage({ initial: folder.read('image.qcow2') });
      const { graph, disk } = await openQcow2(storage);
      await disk.write(disk.length - 512, new Uint8Array(512).fill(3));
      await disk.resize(size);
      await graph.close(disk);
      folder.write('image.qcow2', storage.content);
      await expectSoundForQemu(folder);
      await qemuImg('resize', '-q', '--shrink', '-f', 'qcow2', folder.file('image.qcow2'), String(size - 1024 * 512));
      const file = folder.read('image.qcow2');
      const view = await theirView(folder, 'image.qcow2');
      expect(view).toHaveLength(size - 1024 * 512);
      expect(equalBytes(await ourView(SparseBytes.from(file), undefined), view)).toBe(true);
    }
  });
});

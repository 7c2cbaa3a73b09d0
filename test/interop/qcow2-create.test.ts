import { expect, it } from 'vitest';
import { start } from '../../src/block/co.ts';
import { parseOptions } from '../../src/block/options.ts';
import { createOptions } from '../../src/block/format/qcow2/create-options.ts';
import { create } from '../../src/block/format/qcow2/create.ts';
import { measure } from '../../src/block/format/qcow2/measure.ts';
import { bareCreateContext } from '../support/driver-contexts.ts';
import { describeWithQemu, qemuCheck, qemuImg, runTool, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes, Random } from '../support/random.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';
import type { SparseBytes } from '../support/sparse-bytes.ts';
import { StorageChild } from '../support/storage-child.ts';

type Given = Readonly<Record<string, string | number | boolean>>;

function parse(given: Given) {
  return parseOptions(createOptions, given, "format 'qcow2'");
}

async function createImage(given: Given): Promise<SparseBytes> {
  const storage = new SimulatedStorage();
  await start(create(new StorageChild(storage, 0), parse(given), bareCreateContext));
  return storage.content;
}

/** The same options for `qemu-img create`. */
async function qemuCreate(folder: TemporaryFolder, given: Given): Promise<Uint8Array> {
  const { size, ...others } = given;
  const text = Object.entries(others).map(([name, value]) => `${name}=${value === true ? 'on' : String(value)}`);
  const options = text.length === 0 ? [] : ['-o', text.join(',')];
  const unsafe = 'backing_file' in given ? ['-u'] : [];
  await qemuImg('create', '-q', '-f', 'qcow2', ...unsafe, ...options, folder.file('theirs.qcow2'), String(size));
  return folder.read('theirs.qcow2');
}

async function refusal(args: readonly string[]): Promise<string> {
  const { code, stderr } = await runTool('qemu-img', args);
  expect(code).not.toBe(0);
  return (
    stderr
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/^qemu-img: ([^:]*qcow2: )?/, '') ?? ''
  );
}

const MiB = 2 ** 20;
const clusterSizes = [512, 1024, 2048, 4096, 8192, 65_536, 262_144, 2 * MiB];

describeWithQemu('qcow2 create', () => {
  const identical: readonly Given[] = [
    ...clusterSizes.map((cluster_size) => ({ size: 10 * MiB, cluster_size })),
    { size: 0 },
    { size: 10 * MiB, cluster_size: 16_384, extended_l2: true },
    { size: 64 * 2 ** 30, extended_l2: true },
    { size: MiB, extended_l2: true, backing_file: 'base.img', backing_fmt: 'raw' },
    { size: 1000 },
    { size: 64 * 2 ** 30, cluster_size: 65_536 },
    { size: 3 * MiB, compat: '0.10' },
    { size: 3 * MiB, compat: 'v3', lazy_refcounts: true },
    ...[1, 2, 4, 8, 16, 32, 64].map((refcount_bits) => ({ size: MiB, refcount_bits })),
    { size: MiB, backing_file: 'base.img', backing_fmt: 'raw' },
    { size: MiB, backing_file: 'base.img', backing_fmt: 'raw', compat: '0.10' },
    { size: MiB, backing_file: 'images/größe.qcow2', backing_fmt: 'qcow2', cluster_size: 512 },
    { size: MiB, backing_file: 'x'.repeat(1023), backing_fmt: 'raw' },
    { size: MiB, backing_file: 'x'.repeat(376), backing_fmt: 'raw', cluster_size: 512 },
  ];

  it.each(identical)('makes the file that qemu-img makes: %o', async (given) => {
    using folder = new TemporaryFolder();
    const ours = (await createImage(given)).toBytes();
    const theirs = await qemuCreate(folder, given);
    // qemu-img ends the file inside the L1 table's last cluster; what follows reads as zeroes.
    const padded = new Uint8Array(ours.length);
    padded.set(theirs);
    expect(theirs.length).toBeLessThanOrEqual(ours.length);
    const differs = padded.findIndex((byte, index) => byte !== ours[index]);
    expect(differs).toBe(-1);
    expect(equalBytes(padded, ours)).toBe(true);
  });

  it('makes images without an error at any size, cluster size, refcount width and preallocation', async () => {
    const random = new Random(2024);
    for (let round = 0; round < 24; round++) {
      using folder = new TemporaryFolder();
      const cluster_size = random.pick(clusterSizes);
      const extended = cluster_size >= 16_384 && random.chance(0.5);
      const preallocation = random.pick(['off', 'metadata', 'falloc', 'full']);
      const limit = preallocation === 'off' ? 40 * 2 ** 30 : 6 * MiB;
      const size = random.between(0, Math.min(limit, (cluster_size ** 2 / 8) * 100));
      const refcount_bits = random.pick([1, 2, 4, 8, 16, 32, 64]);
      const given = { size, cluster_size, refcount_bits, preallocation, ...(extended && { extended_l2: true }) };
      const path = folder.write('ours.qcow2', await createImage(given));
      const { counts, stderr } = await qemuCheck(path, 'qcow2');
      expect(stderr.trim(), JSON.stringify(given)).toBe('');
      expect(counts, JSON.stringify(given)).toMatchObject({ 'check-errors': 0 });
      expect(counts?.corruptions ?? 0).toBe(0);
      expect(counts?.leaks ?? 0).toBe(0);
      const allocated = preallocation === 'off' ? 0 : Math.ceil(Math.ceil(size / 512) * (512 / cluster_size));
      expect(counts?.['allocated-clusters'] ?? 0, JSON.stringify(given)).toBe(allocated);
      const info = JSON.parse(await qemuImg('info', '--output=json', path)) as Record<string, unknown>;
      expect(info).toMatchObject({ 'virtual-size': Math.ceil(size / 512) * 512, 'cluster-size': cluster_size });
    }
  });

  it('needs more than one refcount block for a long L1 table of small clusters, and gets them', async () => {
    using folder = new TemporaryFolder();
    const path = folder.write(
      'ours.qcow2',
      await createImage({ size: 16 * 2 ** 30, cluster_size: 512, refcount_bits: 64 }),
    );
    expect((await qemuCheck(path, 'qcow2')).counts?.['check-errors']).toBe(0);
    expect((await qemuCheck(path, 'qcow2')).stderr.trim()).toBe('');
  });

  it('refuses what qemu-img refuses, in its words', async () => {
    const refused: readonly Given[] = [
      { size: MiB, cluster_size: 1000 },
      { size: MiB, cluster_size: 256 },
      { size: MiB, cluster_size: 4 * MiB },
      { size: MiB, refcount_bits: 3 },
      { size: MiB, refcount_bits: 128 },
      { size: MiB, refcount_bits: 8, compat: '0.10' },
      { size: MiB, lazy_refcounts: true, compat: 'v2' },
      { size: MiB, backing_fmt: 'raw' },
      { size: MiB, extended_l2: true, compat: 'v2' },
      { size: MiB, extended_l2: true, cluster_size: 8192 },
      { size: 2 ** 40, cluster_size: 512 },
    ];
    for (const given of refused) {
      using folder = new TemporaryFolder();
      const { size, ...others } = given;
      const text = Object.entries(others).map(([name, value]) => `${name}=${value === true ? 'on' : String(value)}`);
      const theirs = await refusal([
        'create',
        '-q',
        '-f',
        'qcow2',
        '-o',
        text.join(','),
        folder.file('a.qcow2'),
        String(size),
      ]);
      await expect(createImage(given), JSON.stringify(given)).rejects.toThrow(theirs);
    }
  });

  it('refuses a backing file without its format, a name that does not fit, and a size past 2^53', async () => {
    const refused = async (given: Given, message: string): Promise<void> => {
      await expect(createImage(given)).rejects.toThrow(message);
    };
    await refused({ size: MiB, backing_file: 'base' }, 'Backing file specified without backing format');
    await refused({ size: MiB, backing_file: 'x'.repeat(1024), backing_fmt: 'raw' }, '1 to 1023 bytes');
    await refused(
      { size: MiB, backing_file: 'x'.repeat(377), backing_fmt: 'raw', cluster_size: 512 },
      'larger clusters',
    );
    await refused({ size: Number.MAX_SAFE_INTEGER, cluster_size: 2 * MiB }, 'too large');
  });

  it('measures what qemu-img measures', async () => {
    const random = new Random(7);
    const cases: Given[] = [{ size: 0 }, { size: 1 }, { size: 2 ** 50 }, { size: 2 ** 40, preallocation: 'full' }];
    for (let round = 0; round < 40; round++) {
      const cluster_size = random.pick(clusterSizes);
      const extended = cluster_size >= 16_384 && random.chance(0.5);
      const bits = random.between(9, Math.min(45, Math.log2(cluster_size ** 2 / 8) + 20));
      cases.push({
        size: random.between(0, 2 ** bits),
        cluster_size,
        refcount_bits: random.pick([1, 2, 4, 8, 16, 32, 64]),
        preallocation: random.pick(['off', 'metadata', 'falloc', 'full']),
        ...(extended && { extended_l2: true }),
      });
    }
    for (const given of cases) {
      const { size, ...others } = given;
      const text = Object.entries(others).map(([name, value]) => `${name}=${value === true ? 'on' : value}`);
      const options = text.length === 0 ? [] : ['-o', text.join(',')];
      const json = await qemuImg('measure', '--output=json', '-O', 'qcow2', ...options, '--size', String(size));
      const theirs = JSON.parse(json) as { required: number; 'fully-allocated': number };
      const { required, fullyAllocated } = measure(parse(given), 0);
      expect({ required, 'fully-allocated': fullyAllocated }, JSON.stringify(given)).toEqual(theirs);
    }
  });

  it('writes nothing that could pass for an image before everything else is on stable storage', async () => {
    const storage = new SimulatedStorage();
    await start(
      create(new StorageChild(storage, 0), parse({ size: MiB, preallocation: 'metadata' }), bareCreateContext),
    );
    const lastFlush = storage.log.findLastIndex(
      (event, index) => event.kind === 'flush-end' && index < storage.log.length - 1,
    );
    const magicAt = storage.log.findIndex(
      (event) => event.kind === 'begin' && event.change.kind === 'write' && event.change.offset === 0,
    );
    expect(magicAt).toBeGreaterThan(lastFlush);
    expect(storage.log.at(-1)?.kind).toBe('flush-end');
  });
});

/** Space that is taken before there is data for it, beside qemu-img: what maps say, and what the file system has given. */
import { statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import type { Preallocation } from '../../src/block/driver.ts';
import { createImage } from '../../src/block/image/create.ts';
import { measureImage } from '../../src/block/image/measure.ts';
import { createNodeGraph } from '../../src/node/index.ts';
import { describeWithQemu, qemuCheck, qemuImg, qemuIo, TemporaryFolder } from '../support/qemu.ts';
import { Random } from '../support/random.ts';

const KiB = 1024;
const MiB = KiB ** 2;

type Options = Readonly<Record<string, string | number | boolean>>;

function optionText(options: Options): string[] {
  const text = Object.entries(options).map(([name, value]) => `${name}=${value === true ? 'on' : value}`);
  return text.length === 0 ? [] : ['-o', text.join(',')];
}

/** What a map says of each byte: in which layer it is, and whether it is data. */
async function mapOf(path: string, format: string): Promise<unknown> {
  const extents = JSON.parse(await qemuImg('map', '--output=json', '-f', format, path)) as Record<string, unknown>[];
  const list: Record<string, unknown>[] = [];
  for (const { start, length, depth, data } of extents) {
    const last = list.at(-1);
    if (last !== undefined && last['depth'] === depth && last['data'] === data)
      last['length'] = Number(last['length']) + Number(length);
    else list.push({ start, length, depth, data });
  }
  return list;
}

function allocatedBytes(path: string): number {
  return statSync(path).blocks * 512;
}

async function resizeOurs(path: string, driver: string, size: number, mode: Preallocation): Promise<void> {
  const graph = createNodeGraph();
  const options = { driver, file: { driver: 'file', filename: path } };
  const disk = await graph.open(options, { references: () => true });
  await disk.resize(size, mode);
  await graph.close(disk);
}

const shapes: readonly Options[] = [
  {},
  { cluster_size: 4096 },
  { extended_l2: true },
  { cluster_size: 16_384, extended_l2: true, backing: true },
  { backing: true },
  { compat: '0.10' },
  { data_file: true },
  { data_file: true, data_file_raw: true },
];

describeWithQemu('preallocation', () => {
  it.each(shapes.flatMap((shape) => (['metadata', 'falloc', 'full'] as const).map((mode) => ({ shape, mode }))))(
    'of what a qcow2 image grows by: %o',
    async ({ shape, mode }) => {
      using folder = new TemporaryFolder();
      const { backing, data_file: external, ...options } = shape;
      const oldSize = backing === true ? MiB : MiB + 512;
      if (backing === true) folder.write('base.raw', new Uint8Array(3 * MiB).fill(7));
      for (const side of ['ours', 'theirs']) {
        const given = {
          ...options,
          ...(backing === true && { backing_file: folder.file('base.raw'), backing_fmt: 'raw' }),
          ...(external === true && { data_file: folder.file(`${side}.raw`) }),
        };
        const path = folder.file(`${side}.qcow2`);
        await qemuImg('create', '-q', '-f', 'qcow2', ...optionText(given), path, String(oldSize));
      }
      const ours = folder.file('ours.qcow2');
      const theirs = folder.file('theirs.qcow2');
      await qemuImg('resize', '-q', '-f', 'qcow2', `--preallocation=${mode}`, theirs, `${4 * MiB}`);
      await resizeOurs(ours, 'qcow2', 4 * MiB, mode);
      const store = external === true ? 'raw' : 'qcow2';
      const got = (side: string): number => allocatedBytes(folder.file(`${side}.${store}`));
      if (mode !== 'metadata') expect(got('ours')).toBeGreaterThanOrEqual(2.9 * MiB);
      expect(Math.abs(got('ours') - got('theirs'))).toBeLessThan(384 * KiB);
      // What must not show the backing file is data on one side and marked as zero on the other.
      if (backing !== true) expect(await mapOf(ours, 'qcow2')).toEqual(await mapOf(theirs, 'qcow2'));
      const { counts, stderr } = await qemuCheck(ours, 'qcow2');
      expect({ corruptions: counts?.corruptions ?? 0, leaks: counts?.leaks ?? 0 }, stderr).toEqual({
        corruptions: 0,
        leaks: 0,
      });
      // What is new reads as zeroes, whatever the backing file has there.
      await qemuIo(ours, 'qcow2', `read -P 0 ${oldSize} ${4 * MiB - oldSize}`);
    },
  );

  it.each(['off', 'falloc', 'full'] as const)('of a raw disk, and of what it grows by: %s', async (mode) => {
    using folder = new TemporaryFolder();
    const graph = createNodeGraph();
    const path = folder.file('ours.raw');
    await startAsync(
      createImage(graph, { driver: 'raw', file: { driver: 'file', filename: path }, size: MiB, preallocation: mode }),
    );
    await qemuImg('create', '-q', '-f', 'raw', '-o', `preallocation=${mode}`, folder.file('theirs.raw'), `${MiB}`);
    const wanted = mode === 'off' ? 0 : MiB;
    expect(Math.abs(allocatedBytes(path) - wanted)).toBeLessThan(64 * KiB);
    expect(Math.abs(allocatedBytes(folder.file('theirs.raw')) - wanted)).toBeLessThan(64 * KiB);
    await resizeOurs(path, 'raw', 3 * MiB, mode);
    expect(Math.abs(allocatedBytes(path) - 3 * wanted)).toBeLessThan(64 * KiB);
    expect(statSync(path).size).toBe(3 * MiB);
    await expect(resizeOurs(path, 'raw', 4 * MiB, 'metadata')).rejects.toThrow(
      'Unsupported preallocation mode: metadata',
    );
  });

  it.each(['falloc', 'full'] as const)('that is given up leaves no file: %s', async (preallocation) => {
    using folder = new TemporaryFolder();
    const graph = createNodeGraph();
    for (const driver of ['raw', 'qcow2']) {
      const path = folder.file(`given-up.${driver}`);
      const progress = {
        report: (done: number, total: number): void => {
          if (done > total / 2) throw new Error('given up');
        },
      };
      const file = { driver: 'file', filename: path };
      await expect(
        startAsync(createImage(graph, { driver, file, size: 200 * MiB, preallocation }, { progress })),
      ).rejects.toThrow('given up');
      expect(() => statSync(path)).toThrow(/ENOENT/);
    }
  });
});

describeWithQemu('measure', () => {
  it('says of a disk what qemu-img says, for many kinds of new images', async () => {
    const random = new Random(11);
    using folder = new TemporaryFolder();
    const path = folder.file('source.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=16k,extended_l2=on', path, '9M');
    await qemuIo(path, 'qcow2', 'write 1k 700k', 'write 3M 100', 'write -z 4M 1M', 'write -z 200k 9k', 'write 8M 1M');
    for (let round = 0; round < 30; round++) {
      const cluster_size = random.pick([512, 2048, 4096, 16_384, 65_536, MiB, 2 * MiB]);
      const options = {
        cluster_size,
        preallocation: random.pick(['off', 'off', 'metadata', 'falloc', 'full']),
        ...(random.chance(0.2) ? { compat: '0.10' } : { refcount_bits: random.pick([1, 2, 8, 16, 32, 64]) }),
      };
      const extended = cluster_size >= 16_384 && !('compat' in options) && random.chance(0.5);
      const data = !('compat' in options) && random.chance(0.3);
      const given = { ...options, ...(extended && { extended_l2: true }), ...(data && { data_file: 'd' }) };
      const json = await qemuImg('measure', '--output=json', '-O', 'qcow2', ...optionText(given), '-f', 'qcow2', path);
      const theirs = JSON.parse(json) as Record<string, number>;
      const graph = createNodeGraph();
      const disk = await graph.open({ driver: 'qcow2', file: { driver: 'file', filename: path }, 'read-only': true });
      const ours = await startAsync(measureImage(graph, 'qcow2', given, disk.node));
      await graph.close(disk);
      const { required, fullyAllocated } = ours;
      expect({ required, fullyAllocated }, JSON.stringify(given)).toEqual({
        required: theirs['required'],
        fullyAllocated: theirs['fully-allocated'],
      });
    }
  });
});

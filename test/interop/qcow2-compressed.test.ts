/** Compressed clusters between QEMU's tools and this project, both ways. No two encoders give the same bytes: disks are compared. */
import { expect, it } from 'vitest';
import { compressible } from '../codec/compression-suite.ts';
import { checkFile, expectSound } from '../support/qcow2-check.ts';
import { LastingStorage } from '../support/scenario.ts';
import { makeQcow2, openQcow2, readDisk } from '../support/qcow2-session.ts';
import { describeWithQemu, qemuCheck, qemuImg, qemuIo, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes, Random } from '../support/random.ts';
import { SparseBytes } from '../support/sparse-bytes.ts';

const KiB = 1024;
const MiB = KiB ** 2;

interface Case {
  readonly cluster_size: number;
  readonly compat: '0.10' | '1.1';
  readonly compression_type: 'zlib' | 'zstd';
  readonly size: number;
}

const cases: readonly Case[] = (
  [
    [512, 128 * KiB + 512],
    [4 * KiB, MiB],
    [64 * KiB, 3 * MiB + 1536],
    [2 * MiB, 9 * MiB + 512],
  ] as const
).flatMap(([cluster_size, size]) => [
  { cluster_size, size, compat: '0.10', compression_type: 'zlib' },
  { cluster_size, size, compat: '1.1', compression_type: 'zlib' },
  { cluster_size, size, compat: '1.1', compression_type: 'zstd' },
]);

/** A disk with clusters that can be compressed, some that cannot, and holes. */
function diskContent(random: Random, { size, cluster_size }: Case): Uint8Array<ArrayBuffer> {
  const disk = new Uint8Array(size);
  const unit = Math.max(4 * KiB, cluster_size);
  for (let at = 0; at < size; at += unit) {
    const length = Math.min(unit, size - at);
    // qemu-io writes compressed only where there is nothing: it gets the first cluster.
    const kind = at < cluster_size ? 'hole' : random.weighted({ text: 6, noise: 1, hole: 2 });
    if (kind === 'text') disk.set(compressible(random, length), at);
    else if (kind === 'noise') disk.set(random.bytes(length), at);
  }
  return disk;
}

/** Large clusters take as much time as many small ones. */
const roundsOf = ({ cluster_size }: Case): number => (cluster_size < MiB ? 25 : 5);

const optionsOf = ({ cluster_size, compat, compression_type }: Case): string =>
  `cluster_size=${cluster_size},compat=${compat}${compression_type === 'zstd' ? ',compression_type=zstd' : ''}`;

describeWithQemu('compressed images that qemu-img made', () => {
  it.each(cases)('are read: %o', async (one) => {
    const random = new Random(one.cluster_size);
    const disk = diskContent(random, one);
    using folder = new TemporaryFolder();
    const raw = folder.write('disk.raw', disk);
    await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-c', '-o', optionsOf(one), raw, folder.file('disk.qcow2'));
    const storage = new LastingStorage({ initial: SparseBytes.from(folder.read('disk.qcow2')) });
    expect((await checkFile(storage.content)).result.compressedClusters).toBeGreaterThan(0);
    const { graph, disk: opened } = await openQcow2(storage);
    expect(equalBytes(await readDisk(opened), disk)).toBe(true);
    for (let round = 0; round < 60; round++) {
      const offset = random.below(disk.length);
      const buffer = new Uint8Array(random.between(1, Math.min(disk.length - offset, 9000)));
      await opened.read(offset, buffer);
      expect(equalBytes(buffer, disk.subarray(offset, offset + buffer.length))).toBe(true);
    }
    await graph.close(opened);
  });

  it.each(cases)('are written over, zeroed and discarded, and their space is given back: %o', async (one) => {
    const random = new Random(one.cluster_size + 1);
    const disk = diskContent(random, one);
    using folder = new TemporaryFolder();
    const raw = folder.write('disk.raw', disk);
    await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-c', '-o', optionsOf(one), raw, folder.file('disk.qcow2'));
    await qemuIo(folder.file('disk.qcow2'), 'qcow2', `write -c -P 7 0 ${one.cluster_size}`);
    disk.fill(7, 0, one.cluster_size);
    const storage = new LastingStorage({ initial: SparseBytes.from(folder.read('disk.qcow2')) });
    const { graph, disk: opened } = await openQcow2(storage);
    for (let round = 0; round < roundsOf(one); round++) {
      const offset = random.below(disk.length / 512) * 512;
      const length = Math.min(disk.length - offset, 512 * random.between(1, (2 * one.cluster_size) / 512));
      const verb = random.pick(['write', 'zero', 'discard'] as const);
      if (verb === 'write') await opened.write(offset, random.bytes(length));
      else if (verb === 'zero') await opened.writeZeroes(offset, length, { mayUnmap: random.chance(0.5) });
      else await opened.discard(offset, length);
      await opened.read(offset, disk.subarray(offset, offset + length));
      if (random.chance(0.2)) await opened.flush();
    }
    expect(equalBytes(await readDisk(opened), disk)).toBe(true);
    await graph.close(opened);
    expectSound(await checkFile(storage.content), 'after the changes', 'forbidden');
    const changed = folder.write('changed.qcow2', storage.content);
    expect((await qemuCheck(changed, 'qcow2')).counts).toMatchObject({ 'check-errors': 0 });
    expect((await qemuCheck(changed, 'qcow2')).code).toBe(0);
    await qemuImg('convert', '-f', 'qcow2', '-O', 'raw', changed, folder.file('back.raw'));
    expect(equalBytes(folder.read('back.raw'), disk)).toBe(true);
  });
});

describeWithQemu('compressed images that were made here', () => {
  it.each(cases)('are read and sound: %o', async (one) => {
    const random = new Random(one.cluster_size + 2);
    const disk = diskContent(random, one);
    const { size, cluster_size, compat, compression_type } = one;
    using folder = new TemporaryFolder();
    const storage = new LastingStorage({
      initial: await makeQcow2({ size, cluster_size, compat, ...(compat === '1.1' && { compression_type }) }),
    });
    const { graph, disk: opened } = await openQcow2(storage);
    // As convert does it: from front to back, in pieces, some of them beside one another.
    for (let at = 0; at < size; at += 2 * MiB) {
      const pieces = [at, at + MiB].filter((start) => start < size);
      await Promise.all(
        pieces.map(async (start) => opened.write(start, disk.subarray(start, start + MiB), { compressed: true })),
      );
    }
    // And as a guest does it, anywhere, on top of what is there.
    for (let round = 0; round < roundsOf(one); round++) {
      const offset = random.below(size / 512) * 512;
      const length = Math.min(
        size - offset,
        512 * random.between(1, (cluster_size < MiB ? 3 * cluster_size : 64 * KiB) / 512),
      );
      const verb = random.weighted({ compress: 5, write: 2, zero: 1, discard: 1 });
      if (verb === 'zero') await opened.writeZeroes(offset, length, { mayUnmap: random.chance(0.5) });
      else if (verb === 'discard') await opened.discard(offset, length);
      else await opened.write(offset, compressible(random, length), { compressed: verb === 'compress' });
      await opened.read(offset, disk.subarray(offset, offset + length));
      if (random.chance(0.2)) await opened.flush();
    }
    expect(equalBytes(await readDisk(opened), disk)).toBe(true);
    await graph.close(opened);
    const checked = await checkFile(storage.content);
    expectSound(checked, 'after the changes', 'forbidden');
    expect(checked.result.compressedClusters).toBeGreaterThan(0);
    const path = folder.write('disk.qcow2', storage.content);
    const { code, counts, stdout, stderr } = await qemuCheck(path, 'qcow2');
    expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' });
    expect(counts).toMatchObject({ 'compressed-clusters': checked.result.compressedClusters });
    await qemuImg('convert', '-f', 'qcow2', '-O', 'raw', path, folder.file('back.raw'));
    expect(equalBytes(folder.read('back.raw'), disk)).toBe(true);
    const info = JSON.parse(await qemuImg('info', '--output=json', '-f', 'qcow2', path)) as Record<string, unknown>;
    expect(info).toMatchObject({ 'format-specific': { data: { 'compression-type': compression_type } } });
  });

  it('are as small as those of qemu-img', async () => {
    const one: Case = { cluster_size: 64 * KiB, size: 4 * MiB, compat: '1.1', compression_type: 'zlib' };
    const disk = diskContent(new Random(77), one);
    using folder = new TemporaryFolder();
    const raw = folder.write('disk.raw', disk);
    await qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-c', raw, folder.file('theirs.qcow2'));
    const storage = new LastingStorage({ initial: await makeQcow2({ size: one.size }) });
    const { graph, disk: opened } = await openQcow2(storage, { 'detect-zeroes': 'unmap' });
    for (let at = 0; at < one.size; at += 64 * KiB) {
      await opened.write(at, disk.subarray(at, at + 64 * KiB), { compressed: true });
    }
    await graph.close(opened);
    expect(storage.content.length).toBeLessThan(folder.read('theirs.qcow2').length * 1.05);
  });

  it('refuse what is not to be: version 2 with zstd, and compressed writes where nothing stores them', async () => {
    await expect(makeQcow2({ size: MiB, compat: '0.10', compression_type: 'zstd' })).rejects.toThrow(
      /^Non-zlib compression type is only supported with compatibility level 1.1 and above/,
    );
  });
});

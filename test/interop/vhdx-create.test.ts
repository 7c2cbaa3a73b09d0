// VHDX images made with every option, here and by QEMU: sizes, layout limits and refusals are the same.
import { expect, it } from 'vitest';
import { vhdx } from '../../src/block/format/vhdx/driver.ts';
import { imageInfo } from '../../src/block/image/info.ts';
import { startAsync } from '../../src/block/co.ts';
import { describeWithQemu, qemuCheck, qemuImg, qemuIo, runTool, TemporaryFolder } from '../support/qemu.ts';
import { makeImage, openDisk } from '../support/scenario.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';
import type { SparseBytes } from '../support/sparse-bytes.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;

async function ourInfo(content: Uint8Array | SparseBytes): Promise<Record<string, unknown>> {
  const storage = new SimulatedStorage({ initial: content, readOnly: true });
  const { graph, disk } = await openDisk(vhdx, storage, { 'read-only': true });
  const info = await startAsync(imageInfo(disk.node));
  await graph.close(disk);
  return { 'virtual-size': info['virtual-size'], 'cluster-size': info['cluster-size'] };
}

async function theirInfo(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await qemuImg('info', '-f', 'vhdx', '--output=json', path)) as Record<string, unknown>;
}

async function makeByQemu(path: string, { size, ...options }: Readonly<Record<string, unknown>>) {
  const given = Object.entries(options).map(([name, value]) => `${name}=${value as string | number}`);
  return runTool('qemu-img', [
    'create',
    '-q',
    '-f',
    'vhdx',
    ...(given.length === 0 ? [] : ['-o', given.join()]),
    path,
    String(size),
  ]);
}

describeWithQemu('VHDX images', () => {
  it.each([
    { size: 512 },
    { size: 1000 },
    { size: 10 * MiB },
    { size: GiB },
    { size: GiB + 512 },
    { size: 101 * GiB },
    { size: 3 * MiB, block_size: 512 },
    { size: 5 * MiB + 512, block_size: '2M' },
    { size: 5 * MiB, block_size: '1G' },
    { size: 5 * MiB, log_size: 1_100_000, block_size: '1M' },
    { size: 5 * MiB, subformat: 'fixed', block_size: '1M' },
    { size: 2 * MiB + 512 * 1024, subformat: 'fixed', block_size: '1M' },
    { size: 3 * MiB, block_state_zero: 'off', block_size: '1M' },
    { size: 40 * GiB, block_size: '1M' },
  ])('have the sizes that QEMU gives them: %j', async (options) => {
    using folder = new TemporaryFolder();
    const theirs = folder.file('theirs');
    expect((await makeByQemu(theirs, options)).stderr).toBe('');
    const ours = folder.write('ours', await makeImage(vhdx, options));
    const expected = await theirInfo(theirs);
    expect(await theirInfo(ours)).toMatchObject({
      'virtual-size': expected['virtual-size'],
      'cluster-size': expected['cluster-size'],
    });
    expect(await ourInfo(folder.read('theirs'))).toEqual(await ourInfo(folder.read('ours')));
    expect((await qemuCheck(ours, 'vhdx')).counts).toMatchObject({ 'check-errors': 0 });
  });

  it.each([
    { size: 65 * 2 ** 40 },
    { size: MiB, log_size: 0 },
    { size: MiB, log_size: '5G' },
    { size: MiB, block_size: '3M' },
    { size: MiB, block_size: 2_100_000 },
  ])('are refused in the words of QEMU: %j', async (options) => {
    using folder = new TemporaryFolder();
    const { code, stderr } = await makeByQemu(folder.file('theirs'), options);
    expect(code).toBe(1);
    const message = stderr.trim().split(': ').at(-1)!;
    await expect(makeImage(vhdx, options)).rejects.toMatchObject({ kind: 'invalid', message });
  });

  it('of 64 TiB are written at their end, here and there', async () => {
    const size = 64 * 2 ** 40;
    using folder = new TemporaryFolder();
    const content = await makeImage(vhdx, { size });
    const storage = new SimulatedStorage({ initial: content });
    const { graph, disk } = await openDisk(vhdx, storage);
    await disk.write(size - 512, new Uint8Array(512).fill(9));
    await graph.close(disk);
    const path = folder.write('disk', storage.content);
    await qemuIo(path, 'vhdx', `read -P 9 ${size - 512} 512`, `write -P 8 ${size - 1024} 512`);
    const again = new SimulatedStorage({ initial: folder.read('disk'), readOnly: true });
    const reopened = await openDisk(vhdx, again, { 'read-only': true });
    const found = new Uint8Array(1024);
    await reopened.disk.read(size - 1024, found);
    expect([found[0], found[512]]).toEqual([8, 9]);
    await reopened.graph.close(reopened.disk);
  });
});

// VHD: sizes by geometry and by force, and the sizes of disks that other programs made, as QEMU sees them.
import { expect, it } from 'vitest';
import { vpc } from '../../src/block/format/vpc/driver.ts';
import { checksum } from '../../src/block/format/vpc/footer.ts';
import { FOOTER } from '../../src/block/format/vpc/layout.ts';
import { describeWithQemu, qemuImg, TemporaryFolder } from '../support/qemu.ts';
import { makeImage, openDisk } from '../support/scenario.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';
import type { SparseBytes } from '../support/sparse-bytes.ts';

const MiB = 2 ** 20;

async function ourSize(content: Uint8Array | SparseBytes): Promise<number> {
  const { graph, disk } = await openDisk(vpc, new SimulatedStorage({ initial: content, readOnly: true }), {
    'read-only': true,
  });
  const size = disk.length;
  await graph.close(disk);
  return size;
}

async function theirSize(path: string): Promise<number> {
  const info = await qemuImg('info', '-f', 'vpc', '--output=json', path);
  return (JSON.parse(info) as { 'virtual-size': number })['virtual-size'];
}

describeWithQemu('VHD sizes', () => {
  it.each([512, 68 * 512, MiB, 20 * MiB + 512, 503 * MiB, 504 * MiB, 2 ** 31, 127 * 2 ** 30, 130 * 2 ** 30])(
    'of new disks are those that qemu-img makes: %i',
    async (size) => {
      using folder = new TemporaryFolder();
      for (const force of ['off', 'on']) {
        const theirs = folder.file(`theirs-${force}`);
        await qemuImg('create', '-q', '-f', 'vpc', '-o', `force_size=${force}`, theirs, String(size));
        const ours = folder.write(`ours-${force}`, await makeImage(vpc, { size, force_size: force }));
        expect(await theirSize(ours)).toBe(await theirSize(theirs));
        expect(await ourSize(folder.read(`theirs-${force}`))).toBe(await theirSize(theirs));
      }
    },
  );

  // Not Azure's ('wa'): QEMU 7.2 does not know it yet.
  it.each(['vpc ', 'vs  ', 'win ', 'd2v ', 'tap\0', 'qemu', 'qem2', 'conn'])(
    'of a disk that %j made are what QEMU takes them for',
    async (creator) => {
      using folder = new TemporaryFolder();
      const bytes = (await makeImage(vpc, { size: 10 * MiB, force_size: 'on' })).toBytes();
      for (const at of [0, bytes.length - 512]) {
        const footer = bytes.subarray(at, at + 512);
        footer.set(new TextEncoder().encode(creator), FOOTER.creatorApplication);
        new DataView(footer.buffer, footer.byteOffset).setUint32(FOOTER.checksum, checksum(footer, FOOTER.checksum));
      }
      const path = folder.write('disk', bytes);
      expect(await ourSize(bytes)).toBe(await theirSize(path));
    },
  );
});

// qcow, version 1: what is particular to it, beside QEMU: compressed clusters, the old encryption, headers.
import { expect, it } from 'vitest';
import { qcow } from '../../src/block/format/qcow/driver.ts';
import type { ImageNode } from '../../src/block/graph/image-node.ts';
import { compressible } from '../codec/compression-suite.ts';
import { createWithSecrets, encryptedOpts, qemuWithSecrets, withDisk } from '../support/encryption.ts';
import { describeWithQemu, qemuImg, qemuIo, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes, patternedBytes, Random } from '../support/random.ts';
import { LastingStorage, makeImage, openDisk } from '../support/scenario.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';

const KiB = 1024;
const MiB = KiB ** 2;
const CLUSTER = 4 * KiB;
const SIZE = 3 * MiB + 1536;

describeWithQemu('qcow images', () => {
  it.each([512, 10 * MiB, 10 * MiB + 512, 2 ** 40])('are made as qemu-img makes them: %i bytes', async (size) => {
    using folder = new TemporaryFolder();
    folder.write('base', new Uint8Array(512));
    for (const backing of [[], ['-b', 'base', '-F', 'raw']]) {
      await qemuImg('create', '-q', '-f', 'qcow', ...backing, folder.file('theirs'), String(size));
      const options = backing.length === 0 ? {} : { backing_file: 'base', backing_fmt: 'raw' };
      const ours = await makeImage(qcow, { size, ...options });
      expect(equalBytes(ours.toBytes(), folder.read('theirs'))).toBe(true);
    }
  });

  it.each([1, 2])('with compressed clusters are read by both, and written on: seed %i', async (seed) => {
    using folder = new TemporaryFolder();
    const random = new Random(seed);
    const disk = new Uint8Array(SIZE);
    const commands: string[] = [];
    // `qemu-img convert -c` of QEMU 7.2 fails for qcow without a word; qemu-io writes compressed, cluster by cluster.
    for (let cluster = 1; cluster < SIZE / CLUSTER - 1; cluster += random.between(1, 40)) {
      const text = compressible(random, CLUSTER);
      disk.set(text, cluster * CLUSTER);
      commands.push(`write -q -c -s ${folder.write(`text${cluster}`, text)} ${cluster * CLUSTER} ${CLUSTER}`);
    }
    await qemuImg('create', '-q', '-f', 'qcow', folder.file('disk'), String(SIZE));
    await qemuIo(folder.file('disk'), 'qcow', ...commands, 'write -P 3 65000 9000', 'write -c -P 9 0 4k');
    disk.fill(3, 65_000, 74_000).fill(9, 0, 4 * KiB);
    const storage = new LastingStorage({ initial: folder.read('disk') });
    const { graph, disk: opened } = await openDisk(qcow, storage);
    const found = new Uint8Array(SIZE);
    await opened.read(0, found);
    expect(equalBytes(found, disk)).toBe(true);
    for (let round = 0; round < 30; round++) {
      const at = 512 * random.below(SIZE / 512);
      const length = Math.min(SIZE - at, 512 * random.between(1, 40));
      disk.set(compressible(random, length), at);
      await opened.write(at, disk.slice(at, at + length), { compressed: random.chance(0.7) });
    }
    await graph.close(opened);
    const path = folder.write('ours', storage.content);
    await qemuImg('convert', '-f', 'qcow', '-O', 'raw', path, folder.file('theirs'));
    expect(equalBytes(folder.read('theirs'), disk)).toBe(true);
  });

  it('that are encrypted are written and read by both', async () => {
    using folder = new TemporaryFolder();
    const theirs = folder.file('theirs.qcow');
    const ours = folder.file('ours.qcow');
    const options = 'encrypt.format=aes,encrypt.key-secret=first';
    await qemuWithSecrets('qemu-img', 'create', '-q', '-f', 'qcow', '-o', options, theirs, String(SIZE));
    const chosen = { 'encrypt.format': 'aes', 'encrypt.key-secret': 'first' };
    await createWithSecrets({ driver: 'qcow', file: ours, size: SIZE, ...chosen });
    for (const filename of [theirs, ours]) {
      const opts = encryptedOpts('qcow', filename);
      await qemuWithSecrets('qemu-io', undefined, ...opts, '-c', 'write -P 7 65024 70k');
      const encrypt = { 'key-secret': 'first' };
      const data = patternedBytes(3, 0, 200 * KiB);
      await withDisk({ driver: 'qcow', encrypt, file: { driver: 'file', filename } }, async (disk) => {
        const bytes = new Uint8Array(70 * KiB);
        await disk.read(65_024, bytes);
        expect(bytes.every((byte) => byte === 7)).toBe(true);
        await disk.write(1_000_001, data);
        await disk.writeZeroes(70_000, 1000);
      });
      await qemuWithSecrets('qemu-img', 'convert', ...opts, '-O', 'raw', folder.file('raw'));
      const raw = folder.read('raw');
      expect(equalBytes(raw.subarray(1_000_001, 1_000_001 + data.length), data)).toBe(true);
      expect([raw[65_023], raw[65_024], raw[69_999], raw[70_000], raw[70_999], raw[71_000]]).toEqual([
        0, 7, 7, 0, 0, 7,
      ]);
    }
  });

  it('are shown as qemu-img shows them', async () => {
    using folder = new TemporaryFolder();
    folder.write('base', new Uint8Array(512));
    const path = folder.file('disk');
    await qemuImg('create', '-q', '-f', 'qcow', '-b', 'base', '-F', 'raw', path, '10M');
    const theirs = JSON.parse(await qemuImg('info', '-f', 'qcow', '--output=json', path)) as Record<string, unknown>;
    const storage = new SimulatedStorage({ initial: folder.read('disk'), readOnly: true });
    const { graph, disk } = await openDisk(qcow, storage, { 'read-only': true }, new SimulatedStorage({}));
    const info = (disk.node as ImageNode).image.info();
    await graph.close(disk);
    expect(info).toMatchObject({
      format: theirs['format'],
      virtualSize: theirs['virtual-size'],
      clusterSize: theirs['cluster-size'],
      backingFilename: theirs['backing-filename'],
      specific: theirs['format-specific'] ?? {},
    });
  });
});

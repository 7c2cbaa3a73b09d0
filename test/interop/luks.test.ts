/** LUKS images of their own: QEMU's tools and this project on the same image, its passphrases changed by both. */
import { expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import { amendImage } from '../../src/block/image/amend.ts';
import type { BlockStatus } from '../../src/block/extent.ts';
import { imageInfo } from '../../src/block/image/info.ts';
import { imageMap } from '../../src/block/image/map.ts';
import {
  createWithSecrets,
  graphWithSecrets,
  luksOpts,
  qcow2Opts,
  qemuWithSecrets,
  withDisk,
} from '../support/encryption.ts';
import { describeWithQemu, qemuImg, TemporaryFolder } from '../support/qemu.ts';

const SIZE = 256 * 1024;

const ours = (filename: string, secret = 'first') => ({
  driver: 'luks',
  'key-secret': secret,
  file: { driver: 'file', filename },
});

/** Writes by one side and reads by the other, both ways. */
async function bothUse(filename: string, secret: 'first' | 'second' = 'first'): Promise<void> {
  await qemuWithSecrets('qemu-io', undefined, ...luksOpts(filename, secret), '-c', 'write -P 17 1024 70000');
  await withDisk(ours(filename, secret), async (disk) => {
    const bytes = new Uint8Array(70_000);
    await disk.read(1024, bytes);
    expect(bytes.every((byte) => byte === 17)).toBe(true);
    await disk.write(100_001, new Uint8Array(5000).fill(18));
    await disk.writeZeroes(2000, 3000);
  });
  const commands = ['read -P 18 100001 5000', 'read -P 0 2000 3000', 'read -P 17 5000 66024', 'read -P 17 1024 976'];
  await qemuWithSecrets(
    'qemu-io',
    undefined,
    ...luksOpts(filename, secret),
    ...commands.flatMap((command) => ['-c', command]),
  );
}

describeWithQemu('luks images', () => {
  it('made by QEMU are ours, and their passphrases are changed by both', async () => {
    using folder = new TemporaryFolder();
    const path = folder.file('disk.luks');
    await qemuWithSecrets(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'luks',
      '-o',
      'key-secret=first,iter-time=10',
      path,
      String(SIZE),
    );
    await bothUse(path);
    await withDisk(ours(path), (disk, graph) =>
      startAsync(amendImage(graph, disk.node, { state: 'active', 'new-secret': 'second', 'iter-time': 1 })),
    );
    await bothUse(path, 'second');
    await qemuWithSecrets('qemu-img', 'amend', ...luksOpts(path, 'second'), '-o', 'state=inactive,old-secret=first');
    await expect(withDisk(ours(path), () => Promise.resolve())).rejects.toMatchObject({ kind: 'wrong-passphrase' });
    await bothUse(path, 'second');
  });

  it("made by us are QEMU's, and are described alike", async () => {
    using folder = new TemporaryFolder();
    const path = folder.file('disk.luks');
    const options = { 'cipher-alg': 'aes-128', 'cipher-mode': 'cbc', 'ivgen-alg': 'essiv', 'hash-alg': 'sha512' };
    await createWithSecrets({
      driver: 'luks',
      file: path,
      size: SIZE,
      'key-secret': 'first',
      'iter-time': 1,
      ...options,
    });
    await bothUse(path);
    const theirs = JSON.parse(await qemuImg('info', '--output=json', path)) as Record<string, unknown>;
    const graph = graphWithSecrets();
    // To look at it no passphrase is needed.
    const disk = await graph.open(
      { driver: 'luks', 'read-only': true, file: { driver: 'file', filename: path } },
      { inspect: true },
    );
    const info = await startAsync(imageInfo(disk.node));
    expect(info['format-specific']).toEqual(theirs['format-specific']);
    expect(info.encrypted).toBe(theirs['encrypted']);
    expect(info['virtual-size']).toBe(theirs['virtual-size']);
    expect(JSON.stringify(info)).not.toContain('correct horse');
    // Its file is a hole; what is encrypted there is not zero, and nobody is told where it is.
    const status: BlockStatus[] = [];
    await startAsync(imageMap(disk.node, 0, SIZE, (extent) => status.push(extent)));
    expect(status).toMatchObject([{ length: SIZE, data: true, zero: false }]);
    expect(status[0]).not.toHaveProperty('hostOffset');
    await expect(async () => disk.read(0, new Uint8Array(512))).rejects.toMatchObject({ kind: 'passphrase-needed' });
    await graph.close(disk);
  });

  it('give their passphrases in qcow2 to both as well', async () => {
    using folder = new TemporaryFolder();
    const path = folder.file('disk.qcow2');
    await createWithSecrets({
      driver: 'qcow2',
      file: path,
      size: SIZE,
      'encrypt.format': 'luks',
      'encrypt.key-secret': 'first',
      'encrypt.iter-time': 1,
    });
    const options = { 'encrypt.state': 'active', 'encrypt.new-secret': 'second', 'encrypt.iter-time': 1 };
    const qcow2 = (secret: string) => ({
      driver: 'qcow2',
      encrypt: { 'key-secret': secret },
      file: { driver: 'file', filename: path },
    });
    await withDisk(qcow2('first'), (disk, graph) => startAsync(amendImage(graph, disk.node, options)));
    await qemuWithSecrets('qemu-io', undefined, ...qcow2Opts(path, 'second'), '-c', 'write -P 3 0 64k');
    await qemuWithSecrets(
      'qemu-img',
      'amend',
      ...qcow2Opts(path, 'second'),
      '-o',
      'encrypt.state=inactive,encrypt.old-secret=first',
    );
    await expect(withDisk(qcow2('first'), () => Promise.resolve())).rejects.toMatchObject({ kind: 'wrong-passphrase' });
    await expect(
      withDisk({ driver: 'qcow2', file: { driver: 'file', filename: path } }, () => Promise.resolve()),
    ).rejects.toMatchObject({
      kind: 'passphrase-needed',
    });
    await withDisk(qcow2('second'), async (disk) => {
      const bytes = new Uint8Array(65_536);
      await disk.read(0, bytes);
      expect(bytes.every((byte) => byte === 3)).toBe(true);
    });
  });
});

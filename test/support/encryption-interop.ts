/** Encrypted qcow2 images: QEMU's tools and this project read what the other wrote. All of QEMU's ways to encrypt with AES. */
import { expect } from 'vitest';
import { createWithSecrets, qcow2Opts, qemuWithSecrets, withDisk } from './encryption.ts';
import { TemporaryFolder } from './qemu.ts';
import { equalBytes, patternedBytes } from './random.ts';

const KiB = 1024;
const SIZE = 3 * 1024 * KiB + 512;

export interface EncryptionChoice {
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
}

export function encryptionChoices(): EncryptionChoice[] {
  const luks: Record<string, string>[] = [
    {},
    { 'cipher-alg': 'aes-128' },
    { 'cipher-alg': 'aes-192' },
    { 'cipher-mode': 'cbc' },
    { 'cipher-mode': 'cbc', 'cipher-alg': 'aes-128' },
    { 'cipher-mode': 'cbc', 'ivgen-alg': 'plain' },
    { 'cipher-mode': 'cbc', 'ivgen-alg': 'essiv' },
    { 'cipher-mode': 'cbc', 'ivgen-alg': 'essiv', 'ivgen-hash-alg': 'md5' },
    { 'cipher-mode': 'xts', 'ivgen-alg': 'essiv', 'ivgen-hash-alg': 'sha256' },
    { 'cipher-mode': 'xts', 'ivgen-alg': 'plain' },
    { 'cipher-mode': 'ctr' },
    { 'cipher-mode': 'ecb' },
    { 'hash-alg': 'sha1' },
    { 'hash-alg': 'sha224' },
    { 'hash-alg': 'sha384' },
    { 'hash-alg': 'sha512' },
    { 'hash-alg': 'ripemd160' },
  ];
  const prefixed = (options: Record<string, string>) =>
    Object.fromEntries(Object.entries(options).map(([name, value]) => [`encrypt.${name}`, value]));
  return [
    ...luks.map((options) => ({
      name: `luks ${Object.values(options).join(' ') || 'as by default'}`,
      options: { 'encrypt.format': 'luks', 'encrypt.iter-time': 10, ...prefixed(options) },
    })),
    { name: 'aes', options: { 'encrypt.format': 'aes' } },
    { name: 'luks, small clusters', options: { 'encrypt.format': 'luks', 'encrypt.iter-time': 10, cluster_size: 512 } },
    { name: 'luks, version 2', options: { 'encrypt.format': 'luks', 'encrypt.iter-time': 10, compat: '0.10' } },
    { name: 'aes, small clusters', options: { 'encrypt.format': 'aes', cluster_size: 4096 } },
  ];
}

const encrypt = { 'key-secret': 'first' };

/** Both make an image; both write to each and read what the other wrote. @throws when a byte differs */
export async function bothWays({ options }: EncryptionChoice): Promise<void> {
  using folder = new TemporaryFolder();
  const theirs = folder.file('theirs.qcow2');
  const ours = folder.file('ours.qcow2');
  const text = Object.entries({ ...options, 'encrypt.key-secret': 'first' }).map(([key, value]) => `${key}=${value}`);
  await qemuWithSecrets('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', text.join(','), theirs, String(SIZE));
  await createWithSecrets({ driver: 'qcow2', file: ours, size: SIZE, ...options, 'encrypt.key-secret': 'first' });
  for (const filename of [theirs, ours]) {
    // They write, we read and write, they read.
    await qemuWithSecrets(
      'qemu-io',
      undefined,
      ...qcow2Opts(filename),
      '-c',
      'write -P 7 65024 70k',
      '-c',
      `write -P 9 ${SIZE - 512} 512`,
    );
    const data = patternedBytes(3, 0, 200 * KiB);
    await withDisk({ driver: 'qcow2', encrypt, file: { driver: 'file', filename } }, async (disk) => {
      const bytes = new Uint8Array(70 * KiB);
      await disk.read(65024, bytes);
      expect(bytes.every((byte) => byte === 7)).toBe(true);
      await disk.read(SIZE - 512, bytes.subarray(0, 512));
      expect(bytes.subarray(0, 512).every((byte) => byte === 9)).toBe(true);
      await disk.write(1_000_001, data);
      await disk.write(1_000_000, new Uint8Array([42]));
      await disk.writeZeroes(70_000, 1000);
    });
    const raw = folder.file('raw');
    await qemuWithSecrets('qemu-img', 'convert', ...qcow2Opts(filename), '-O', 'raw', raw);
    const expected = new Uint8Array(SIZE);
    expected.fill(7, 65024, 65024 + 70 * KiB);
    expected.fill(9, SIZE - 512);
    expected.set(data, 1_000_001);
    expected[1_000_000] = 42;
    expected.fill(0, 70_000, 71_000);
    expect(equalBytes(folder.read('raw'), expected)).toBe(true);
    await qemuWithSecrets('qemu-img', 'check', ...qcow2Opts(filename));
    // What is stored is not what was written.
    const stored = Buffer.from(folder.read(filename === ours ? 'ours.qcow2' : 'theirs.qcow2'));
    expect(stored.includes(Buffer.alloc(512, 7))).toBe(false);
  }
}

/** LUKS images of another program than QEMU: cryptsetup makes headers that we open, and opens those that we make. */
import { spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createWithSecrets, SECRETS, withDisk } from '../support/encryption.ts';
import { TemporaryFolder } from '../support/qemu.ts';

function cryptsetup(...args: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync('cryptsetup', ['-q', ...args], {
    input: SECRETS.first,
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, output: `${stdout}${stderr}` };
}

const isMissing = spawnSync('cryptsetup', ['--version']).error !== undefined;
const describeWithCryptsetup = isMissing ? describe.skip : describe;
const why = isMissing ? ' (skipped: cryptsetup is not installed; Debian has it in cryptsetup-bin)' : '';

function emptyFile(path: string, size: number): string {
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

const FEW = ['--pbkdf-force-iterations', '1000'];

describeWithCryptsetup(`LUKS beside cryptsetup${why}`, () => {
  it.each([
    ['aes-xts-plain64', 512, 'sha256'],
    ['aes-xts-plain64', 256, 'sha512'],
    ['aes-cbc-essiv:sha256', 128, 'sha1'],
    // Its key material is no whole number of sectors.
    ['aes-cbc-essiv:sha256', 192, 'sha256'],
    ['aes-cbc-plain', 256, 'ripemd160'],
  ])('its images open: %s with %i bits and %s', async (cipher, bits, hash) => {
    using folder = new TemporaryFolder();
    const filename = emptyFile(folder.file('disk'), 4 * 2 ** 20);
    const options = ['--type', 'luks1', '--cipher', cipher, '--key-size', String(bits), '--hash', hash, ...FEW];
    const made = cryptsetup('luksFormat', ...options, filename, '-');
    expect(made).toMatchObject({ status: 0 });
    const image = { driver: 'luks', file: { driver: 'file', filename } };
    await withDisk({ ...image, 'key-secret': 'first' }, async (disk) => {
      const written = new Uint8Array(5000).fill(8);
      await disk.write(700, written);
      const read = new Uint8Array(5000);
      await disk.read(700, read);
      expect(read).toEqual(written);
    });
    const wrong = withDisk({ ...image, 'key-secret': 'wrong' }, () => Promise.resolve());
    await expect(wrong).rejects.toMatchObject({ kind: 'wrong-passphrase' });
  });

  it.each([
    [{}, 'xts-plain64'],
    [{ 'cipher-mode': 'cbc', 'ivgen-alg': 'essiv', 'cipher-alg': 'aes-128', 'hash-alg': 'sha1' }, 'cbc-essiv:sha256'],
    [{ 'hash-alg': 'ripemd160' }, 'xts-plain64'],
  ])('it opens ours: %j', async (options, mode) => {
    using folder = new TemporaryFolder();
    const path = folder.file('disk');
    await createWithSecrets({
      driver: 'luks',
      file: path,
      size: 2 ** 20,
      'key-secret': 'first',
      'iter-time': 1,
      ...options,
    });
    expect(cryptsetup('luksDump', path).output).toContain(mode);
    expect(cryptsetup('luksOpen', '--test-passphrase', '--key-file=-', path)).toMatchObject({ status: 0 });
  });

  it('a header of its own file opens the disk in another', async () => {
    using folder = new TemporaryFolder();
    const header = emptyFile(folder.file('header'), 4 * 2 ** 20);
    const filename = emptyFile(folder.file('disk'), 2 ** 20);
    const made = cryptsetup('luksFormat', '--type', 'luks1', ...FEW, '--header', header, filename, '-');
    expect(made).toMatchObject({ status: 0 });
    const options = {
      driver: 'luks',
      'key-secret': 'first',
      header: { driver: 'file', filename: header },
      file: { driver: 'file', filename },
    };
    await withDisk(options, (disk) => Promise.resolve(expect(disk.length).toBe(2 ** 20)));
  });

  it('our detached header opens a disk', async () => {
    using folder = new TemporaryFolder();
    const header = folder.file('header');
    await createWithSecrets({
      driver: 'luks',
      file: header,
      size: 0,
      'detached-header': true,
      'key-secret': 'first',
      'iter-time': 1,
    });
    const filename = emptyFile(folder.file('disk'), 2 ** 20);
    expect(cryptsetup('luksOpen', '--test-passphrase', '--key-file=-', '--header', header, filename)).toMatchObject({
      status: 0,
    });
  });
});

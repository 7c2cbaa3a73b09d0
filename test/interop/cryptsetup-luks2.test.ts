/** LUKS2 images that cryptsetup makes: opened, read and written with the keys that it tells, and by its own encryption of a plain file. */
import { spawnSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import { imageInfo } from '../../src/block/image/info.ts';
import { graphWithSecrets, SECRETS, withDisk, type SecretId } from '../support/encryption.ts';
import { encryptXts, type Luks2Json } from '../support/luks2-builder.ts';
import { spindleImg } from '../support/cli-table.ts';
import { TemporaryFolder } from '../support/qemu.ts';
import { patternedBytes } from '../support/random.ts';

function cryptsetup(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('cryptsetup', ['-q', ...args], {
    input: SECRETS.first,
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (status !== 0) throw new Error(`cryptsetup ${args.join(' ')}: exit code ${status}\n${stdout}${stderr}`);
  return stdout;
}

const isMissing = spawnSync('cryptsetup', ['--version']).error !== undefined;
const describeWithCryptsetup = isMissing ? describe.skip : describe;
const why = isMissing ? ' (skipped: cryptsetup is not installed; Debian has it in cryptsetup-bin)' : '';

/** As small as it makes them: it would take 16 MiB, and a second and a GiB for the passphrase. */
const SMALL = ['--type', 'luks2', '--luks2-metadata-size', '16k', '--luks2-keyslots-size', '512k'];
const OFFSET = 1024 * 1024;
const PLACE = ['--offset', String(OFFSET / 512)];
const ARGON2 = ['--pbkdf-force-iterations', '4', '--pbkdf-memory', '64', '--pbkdf-parallel', '2'];
const KDFS = {
  argon2id: ['--pbkdf', 'argon2id', ...ARGON2],
  argon2i: ['--pbkdf', 'argon2i', ...ARGON2],
  pbkdf2: ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'],
};
const CONTENT = patternedBytes(3, 0, 256 * 1024);

const image = (filename: string, secret: SecretId = 'first') => ({
  driver: 'luks',
  'key-secret': secret,
  file: { driver: 'file', filename },
});

async function contentOf(options: Readonly<Record<string, unknown>>): Promise<Uint8Array> {
  return withDisk({ ...options, 'read-only': true }, async (disk) => {
    const bytes = new Uint8Array(disk.length);
    await disk.read(0, bytes);
    return bytes;
  });
}

function emptyFile(path: string, size: number): string {
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

describeWithCryptsetup(`LUKS2 beside cryptsetup${why}`, () => {
  it.each([
    ['argon2id', 512, 512],
    ['argon2i', 4096, 256],
    ['pbkdf2', 2048, 512],
  ] as const)('its images are ours: %s, sectors of %i bytes, keys of %i bits', async (kdf, sectorSize, bits) => {
    using folder = new TemporaryFolder();
    const path = emptyFile(folder.file('disk'), OFFSET + CONTENT.length);
    const cipher = ['--sector-size', String(sectorSize), '--key-size', String(bits), '--label', 'a label'];
    cryptsetup('luksFormat', ...SMALL, ...PLACE, ...KDFS[kdf], ...cipher, path, '-');
    const keyFile = folder.file('key');
    cryptsetup('luksDump', '--dump-volume-key', '--volume-key-file', keyFile, '--key-file=-', path);
    const key = readFileSync(keyFile);
    expect(key.length).toBe(bits / 8);
    const header = readFileSync(path).subarray(0, OFFSET);
    writeFileSync(path, Buffer.concat([header, encryptXts(key, CONTENT, sectorSize, 0)]));
    expect(Buffer.compare(await contentOf(image(path)), CONTENT)).toBe(0);
    await withDisk(image(path), (disk) => disk.write(12_345, new Uint8Array(5000).fill(8)) as Promise<void>);
    const expected = CONTENT.slice();
    expected.fill(8, 12_345, 17_345);
    const stored = readFileSync(path);
    expect(stored.subarray(0, OFFSET).equals(header)).toBe(true);
    expect(Buffer.compare(stored.subarray(OFFSET), encryptXts(key, expected, sectorSize, 0))).toBe(0);
    await expect(contentOf(image(path, 'wrong'))).rejects.toMatchObject({ kind: 'wrong-passphrase' });
  });

  it('what it encrypts itself is read, whatever the cipher', async () => {
    for (const cipher of ['aes-xts-plain64', 'aes-cbc-essiv:sha256']) {
      using folder = new TemporaryFolder();
      const path = folder.file('disk');
      writeFileSync(path, Buffer.concat([CONTENT, Buffer.alloc(2 * OFFSET)]));
      const options = ['--cipher', cipher, '--key-size', '256', '--sector-size', '4096'];
      cryptsetup(
        'reencrypt',
        '--encrypt',
        ...SMALL,
        ...KDFS.pbkdf2,
        ...options,
        '--reduce-device-size',
        '2M',
        '--key-file=-',
        path,
      );
      const bytes = await contentOf(image(path));
      expect(Buffer.compare(bytes.subarray(0, CONTENT.length), CONTENT)).toBe(0);
    }
  });

  it('passphrases that it adds open them, and its header may be in a file of its own', async () => {
    using folder = new TemporaryFolder();
    const header = emptyFile(folder.file('header'), OFFSET);
    const filename = emptyFile(folder.file('disk'), CONTENT.length);
    cryptsetup('luksFormat', ...SMALL, ...KDFS.argon2id, '--header', header, filename, '-');
    const added = folder.file('added');
    writeFileSync(added, SECRETS.second);
    cryptsetup('luksAddKey', ...KDFS.pbkdf2, '--key-file=-', header, added);
    const options = { ...image(filename, 'second'), header: { driver: 'file', filename: header } };
    await withDisk(options, (disk) => Promise.resolve(expect(disk.length).toBe(CONTENT.length)));
    await expect(contentOf(image(header))).rejects.toThrow(/name this one in the option 'header'/);
  });

  /** A plain disk that cryptsetup has encrypted. @param more options for it */
  function encrypted(path: string, ...more: readonly string[]): void {
    writeFileSync(path, Buffer.concat([CONTENT, Buffer.alloc(2 * OFFSET)]));
    const options = [...SMALL, ...KDFS.pbkdf2, '--reduce-device-size', '2M', '--key-file=-', ...more];
    cryptsetup('reencrypt', '--encrypt', ...options, path);
  }

  it('is converted by spindle-img, and what we write to it is decrypted by cryptsetup', async () => {
    using folder = new TemporaryFolder();
    const path = folder.file('disk');
    encrypted(path);
    const secret = ['--object', `secret,id=s,data=${SECRETS.first}`];
    const opts = ['--image-opts', `driver=luks,key-secret=s,file.filename=${path}`];
    const raw = folder.file('raw');
    expect(await spindleImg('convert', ...secret, ...opts, '-O', 'raw', raw)).toMatchObject({ code: 0, stderr: '' });
    expect(Buffer.compare(readFileSync(raw).subarray(0, CONTENT.length), CONTENT)).toBe(0);
    const { stdout } = await spindleImg('info', path);
    expect(stdout).toMatch(/file format: luks\n(.*\n)*encrypted: yes\n(.*\n)* +version: 2\n/);
    await withDisk(image(path), (disk) => disk.write(4000, new Uint8Array(9000).fill(9)) as Promise<void>);
    const header = ['--header', folder.file('header'), '--key-file=-'];
    cryptsetup('reencrypt', '--decrypt', '--force-offline-reencrypt', ...header, path);
    const expected = CONTENT.slice();
    expected.fill(9, 4000, 13_000);
    expect(Buffer.compare(readFileSync(path).subarray(0, CONTENT.length), expected)).toBe(0);
  });

  it('is refused by name while it is being encrypted, and shown', async () => {
    using folder = new TemporaryFolder();
    const path = folder.file('disk');
    encrypted(path, '--init-only');
    await expect(contentOf(image(path))).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/encrypted anew/) as string,
    });
    expect((await spindleImg('info', path)).stdout).toMatch(/requirements:\n +\[0\]: online-reencrypt-v2\n/);
  });

  it('is described as luksDump describes it', async () => {
    using folder = new TemporaryFolder();
    const path = emptyFile(folder.file('disk'), OFFSET + CONTENT.length);
    const names = ['--label', 'a label', '--subsystem', 'a subsystem'];
    cryptsetup('luksFormat', ...SMALL, ...PLACE, ...KDFS.argon2id, ...names, path, '-');
    const graph = graphWithSecrets();
    const disk = await graph.open({ ...image(path), 'key-secret': undefined, 'read-only': true }, { inspect: true });
    const specific = (await startAsync(imageInfo(disk.node)))['format-specific']!.data;
    await graph.close(disk);
    const dump: Luks2Json = JSON.parse(cryptsetup('luksDump', '--dump-json-metadata', path));
    expect(specific).toMatchObject({
      version: 2,
      label: 'a label',
      subsystem: 'a subsystem',
      uuid: /UUID:\s+(\S+)/.exec(cryptsetup('luksDump', path))![1],
      headers: [{ valid: true }, { valid: true }],
      'keyslots-size': Number(dump.config.keyslots_size),
      slots: [
        {
          kdf: 'argon2id',
          time: 4,
          memory: 65_536,
          threads: 2,
          'key-offset': Number(dump.keyslots[0].area.offset),
          cipher: 'aes-xts-plain64',
        },
      ],
      segments: [{ type: 'crypt', offset: OFFSET, 'sector-size': dump.segments[0].sector_size }],
      digests: [{ type: 'pbkdf2', iters: dump.digests[0].iterations }],
    });
  });
});

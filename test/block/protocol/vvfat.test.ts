// The volumes are read by mtools and checked by fsck.vfat.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatDrivers } from '../../../src/block/format/index.ts';
import { BlockGraph } from '../../../src/block/graph/graph.ts';
import { parseOptions } from '../../../src/block/options.ts';
import { isZero } from '../../../src/block/io/buffers.ts';
import { createVvfatProtocol } from '../../../src/block/protocol/vvfat/index.ts';
import { readFolder } from '../../../src/node/folder.ts';
import { TemporaryFolder } from '../../support/qemu.ts';
import { patternedBytes, Random } from '../../support/random.ts';

const vvfat = createVvfatProtocol(readFolder);
const graph = () =>
  new BlockGraph({ protocols: [vvfat], formats: formatDrivers, filters: [], defaultProtocol: 'vvfat' });
/** The volume begins behind the first track. */
const HIDDEN = 63 * 512;
const ENVIRONMENT = {
  ...process.env,
  MTOOLS_SKIP_CHECK: '1',
  TZ: 'UTC',
  LC_ALL: 'C.UTF-8',
  PATH: `${process.env['PATH']}:/usr/sbin:/sbin`,
};

/** Reads the disk in pieces of odd sizes, but for what it says is zero. @param partition gets the volume alone */
async function writeDisk(options: object, path: string, partition?: string): Promise<number> {
  const parsed = parseOptions(vvfat.options, { ...options }, 'a test');
  const storage = await vvfat.open(parsed, { readOnly: true });
  const length = await storage.getLength();
  const file = openSync(path, 'w+');
  ftruncateSync(file, length);
  const volume = partition === undefined ? undefined : openSync(partition, 'w+');
  if (volume !== undefined) ftruncateSync(volume, length - HIDDEN);
  for (let offset = 0; offset < length;) {
    const status = await storage.blockStatus!(offset, length - offset);
    const piece = new Uint8Array(Math.min(1_000_003, status.length));
    if (!status.zero) {
      await storage.read(offset, piece);
      writeSync(file, piece, 0, piece.length, offset);
      const skipped = Math.min(piece.length, Math.max(0, HIDDEN - offset));
      if (volume !== undefined) writeSync(volume, piece, skipped, piece.length - skipped, offset + skipped - HIDDEN);
    }
    offset += status.zero ? status.length : piece.length;
  }
  closeSync(file);
  if (volume !== undefined) closeSync(volume);
  await storage.close();
  return length;
}

function expectVolume(volume: string): void {
  const { status, stdout, stderr } = spawnSync('fsck.vfat', ['-n', '-v', volume], {
    encoding: 'utf8',
    env: ENVIRONMENT,
  });
  expect(`${status} ${stdout}${stderr}`).toMatch(/^0 /);
  expect(stdout + stderr).not.toMatch(/[Dd]iffer|dirty|wrong|bad|orphan/);
}

function mtools(tool: string, ...args: string[]): string {
  return execFileSync(tool, args, { encoding: 'utf8', env: ENVIRONMENT });
}

/** Every file of a folder with its content, by path. */
function contentOf(folder: string, prefix = ''): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      found.set(`${prefix}${entry.name}/`, '');
      for (const [name, content] of contentOf(path, `${prefix}${entry.name}/`)) found.set(name, content);
    } else found.set(prefix + entry.name, readFileSync(path).toString('latin1'));
  }
  return found;
}

const NAMES = [
  'README',
  'readme.text',
  'A name that is long.html',
  'ünïcode – ☃.txt',
  'a.b.c',
  'x',
  '.hidden',
  'exactly13char',
  'MixedCase.Txt',
  'thirteen chars and thirteen more',
];

function makeFolder(path: string): void {
  const random = new Random(1);
  const fill = (folder: string, depth: number) => {
    mkdirSync(folder, { recursive: true });
    for (const [index, name] of NAMES.entries()) {
      writeFileSync(join(folder, name), patternedBytes(index + 1, 0, random.pick([0, 1, 511, 8192, 8193, 70_000])));
    }
    if (depth < 2)
      for (const name of ['sub', 'a folder with a long name', 'empty'])
        fill(join(folder, name), name === 'empty' ? 9 : depth + 1);
  };
  fill(path, 0);
  mkdirSync(join(path, 'nothing in it'));
  const many = join(path, 'many');
  mkdirSync(many);
  for (let index = 0; index < 120; index++) writeFileSync(join(many, `a file with a number ${index}.data`), `${index}`);
}

describe('vvfat', () => {
  it.each([
    ['16', {}],
    ['32', { 'fat-type': 32 }],
    ['12', { 'fat-type': 12 }],
  ] as const)('FAT%s: fsck.vfat finds nothing, and mcopy copies the folder back', async (_name, options) => {
    using temporary = new TemporaryFolder();
    const folder = temporary.file('folder');
    makeFolder(folder);
    const image = temporary.file('disk.img');
    await writeDisk({ dir: folder, label: 'my folder', ...options }, image, temporary.file('partition'));
    expectVolume(temporary.file('partition'));
    expect(mtools('mdir', '-i', `${image}@@${HIDDEN}`, '::')).toMatch(/Volume in drive : is MY FOLDER/);
    const back = temporary.file('back');
    mkdirSync(back);
    mtools('mcopy', '-s', '-n', '-m', '-i', `${image}@@${HIDDEN}`, '::*', back);
    expect(contentOf(back)).toEqual(contentOf(folder));
    const [ours, theirs] = [back, folder].map((each) => statSync(join(each, 'README')).mtimeMs);
    expect(Math.abs(ours! - theirs!)).toBeLessThanOrEqual(2000);
  });

  it('is a floppy disk if asked, and says when the folder is too large for one', async () => {
    using temporary = new TemporaryFolder();
    const folder = temporary.file('folder');
    mkdirSync(folder);
    writeFileSync(join(folder, 'file.txt'), patternedBytes(1, 0, 100_000));
    const image = temporary.file('floppy.img');
    expect(await writeDisk({ dir: folder, floppy: true }, image)).toBe(1_474_560);
    expectVolume(image);
    mtools('mcopy', '-n', '-i', image, '::file.txt', temporary.file('back'));
    expect(Buffer.compare(temporary.read('back'), patternedBytes(1, 0, 100_000))).toBe(0);
    writeFileSync(join(folder, 'large'), '');
    truncateSync(join(folder, 'large'), 1_400_000);
    await expect(writeDisk({ dir: folder, floppy: true }, image)).rejects.toMatchObject({ kind: 'no-space' });
  });

  it('chooses FAT32 for what FAT16 cannot hold, and looks at no file that is not read', async () => {
    using temporary = new TemporaryFolder();
    writeFileSync(temporary.file('huge'), '');
    truncateSync(temporary.file('huge'), 3 * 2 ** 30);
    const own = graph();
    const disk = await own.open({ driver: 'raw', 'read-only': true, file: { driver: 'vvfat', dir: temporary.path } });
    const sector = new Uint8Array(512);
    await disk.read(HIDDEN, sector);
    expect(new TextDecoder().decode(sector.subarray(82, 90))).toBe('FAT32   ');
    expect(disk.length).toBeGreaterThan(3 * 2 ** 30);
    await own.close(disk);
    truncateSync(temporary.file('huge'), 2 ** 32);
    await expect(
      own.open({ driver: 'raw', 'read-only': true, file: { driver: 'vvfat', dir: temporary.path } }),
    ).rejects.toThrow(/less than 4 GiB/);
  });

  it('a file that became shorter is an error, not zeroes', async () => {
    using temporary = new TemporaryFolder();
    writeFileSync(temporary.file('file'), new Uint8Array(100_000).fill(1));
    const own = graph();
    const disk = await own.open({
      driver: 'raw',
      'read-only': true,
      file: { driver: 'vvfat', dir: temporary.path, 'fat-type': 16 },
    });
    truncateSync(temporary.file('file'), 10);
    const all = new Uint8Array(2 ** 20);
    await expect((async () => disk.read(0, all))()).rejects.toMatchObject({ kind: 'base-changed' });
    await own.close(disk);
  });

  it('names that are one to FAT, or not allowed there, get others', async () => {
    using temporary = new TemporaryFolder();
    const folder = temporary.file('folder');
    mkdirSync(folder);
    for (const name of [
      'same',
      'SAME',
      'Same',
      'a:b?',
      'trailing. ',
      'Long File Name 1',
      'Long File Name 2',
      'longfi~1',
    ]) {
      writeFileSync(join(folder, name), name);
    }
    const image = temporary.file('disk.img');
    await writeDisk({ dir: folder }, image, temporary.file('partition'));
    expectVolume(temporary.file('partition'));
    const listed = mtools('mdir', '-b', '-i', `${image}@@${HIDDEN}`, '::').trim().split('\n');
    expect(new Set(listed.map((name) => name.toUpperCase())).size).toBe(8);
    expect(listed).toEqual(expect.arrayContaining(['::/a_b_', '::/trailing']));
  });

  it('takes files that were dropped, too', async () => {
    using temporary = new TemporaryFolder();
    const files = [
      { path: 'folder/one.txt', blob: new Blob(['one']) },
      { path: 'folder/inner/two.txt', blob: new Blob([patternedBytes(2, 0, 20_000).slice()]) },
      { path: '../outside.txt', blob: new Blob(['kept inside']) },
      { path: 'folder/empty/' },
    ];
    const image = temporary.file('disk.img');
    await writeDisk({ files }, image, temporary.file('partition'));
    expectVolume(temporary.file('partition'));
    expect(mtools('mtype', '-i', `${image}@@${HIDDEN}`, '::folder/one.txt')).toBe('one');
    expect(mtools('mtype', '-i', `${image}@@${HIDDEN}`, '::outside.txt')).toBe('kept inside');
    mtools('mcopy', '-n', '-i', `${image}@@${HIDDEN}`, '::folder/inner/two.txt', temporary.file('two'));
    expect(Buffer.compare(temporary.read('two'), patternedBytes(2, 0, 20_000))).toBe(0);
  });

  it('is another disk when a name, a size or a time is another, also far behind its beginning', async () => {
    const file = (path: string, content: string, lastModified = 1000) => ({
      path,
      blob: new File([content], 'x', { lastModified }),
    });
    const identityOf = async (...files: object[]) => {
      const storage = await vvfat.open({ files, floppy: false, label: '', rw: false }, { readOnly: true });
      return storage.identity!();
    };
    const large = file('a', 'x'.repeat(1000));
    const same = await identityOf(large, file('folder/b', 'one'));
    expect(await identityOf(file('folder/b', 'two'), large)).toEqual(same);
    for (const other of [
      file('folder/c', 'one'),
      file('folder/b', 'four'),
      file('folder/b', 'one', 3000),
      file('B', ''),
    ]) {
      expect(await identityOf(large, other)).not.toEqual(same);
    }
  });

  it('reads the same in pieces of any size and place', async () => {
    using temporary = new TemporaryFolder();
    const folder = temporary.file('folder');
    makeFolder(folder);
    for (const fatType of [12, 16, 32]) {
      const storage = await vvfat.open(
        { dir: folder, 'fat-type': fatType, floppy: false, label: '', rw: false },
        { readOnly: true },
      );
      const whole = new Uint8Array(6 * 2 ** 20);
      await storage.read(0, whole);
      const random = new Random(fatType);
      for (let round = 0; round < 200; round++) {
        const offset = random.below(whole.length - 1);
        const part = new Uint8Array(random.between(1, Math.min(5000, whole.length - offset)));
        await storage.read(offset, part);
        expect(Buffer.compare(part, whole.subarray(offset, offset + part.length))).toBe(0);
      }
    }
  });

  it('says truly what is zero', async () => {
    using temporary = new TemporaryFolder();
    makeFolder(temporary.file('folder'));
    const options = parseOptions(vvfat.options, { dir: temporary.path, 'fat-type': 12 }, 'a test');
    const storage = await vvfat.open(options, { readOnly: true });
    const whole = new Uint8Array(await storage.getLength());
    await storage.read(0, whole);
    let zeroes = 0;
    for (let offset = 0; offset < whole.length;) {
      const { length, zero } = await storage.blockStatus!(offset, whole.length - offset);
      if (zero) {
        expect(isZero(whole.subarray(offset, offset + length))).toBe(true);
        zeroes += length;
      }
      offset += length;
    }
    expect(zeroes).toBeGreaterThan(20 * 2 ** 20);
  });

  it('refuses writing, and options that it does not have', async () => {
    using temporary = new TemporaryFolder();
    const open = (options: object, readOnly = true) =>
      vvfat.open({ dir: temporary.path, floppy: false, label: '', rw: false, ...options }, { readOnly });
    await expect(open({}, false)).rejects.toMatchObject({ kind: 'permission' });
    await expect(open({ rw: true })).rejects.toMatchObject({ kind: 'unsupported' });
    await expect(open({ 'fat-type': 13 })).rejects.toThrow(/12, 16 or 32/);
    await expect(open({ floppy: true, 'fat-type': 32 })).rejects.toThrow(/floppy/);
    await expect(open({ label: 'twelve chars' })).rejects.toThrow(/at most 11/);
    await expect(open({ dir: temporary.file('none') })).rejects.toMatchObject({ kind: 'not-found' });
    await expect(open({ files: [] })).rejects.toThrow(/given, or else/);
    await expect(open({ dir: undefined, files: [{ path: 'a' }] })).rejects.toThrow(/an array of/);
    expect(vvfat.parseFilename!('fat:floppy:rw:12:/a/b')).toEqual({
      driver: 'vvfat',
      dir: '/a/b',
      floppy: true,
      rw: true,
      'fat-type': 12,
    });
    expect(vvfat.parseFilename!('/a/b')).toBeUndefined();
  });
});

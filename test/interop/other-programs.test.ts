// Programs other than QEMU's read what is written here, and make what is read here: 7-Zip, Bochs's bximage, dmg2img.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { buildDmg, type BuiltKind } from '../support/dmg-builder.ts';
import { spindleImg } from '../support/cli-table.ts';
import { describeWithQemu, qemuImg, TemporaryFolder } from '../support/qemu.ts';
import { compressibleBytes, equalBytes, patternedBytes } from '../support/random.ts';

/** Cylinders of 16 heads and 63 sectors: what a program takes for the geometry is the whole disk. */
const DISK_BYTES = 8 * 16 * 63 * 512;

function isThere(program: string): boolean {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A describe that is skipped, with the reason in its title, where the program is missing. */
const describeWith = (program: string, debianPackage: string, title: string, tests: () => void) =>
  describe.skipIf(!isThere(program))(
    isThere(program) ? title : `${title} (skipped: ${program} is not installed; Debian has it in ${debianPackage})`,
    tests,
  );

/** Data that begins and ends in the middle of clusters, in three places; zeroes between. */
function sampleDisk(): Uint8Array {
  const disk = new Uint8Array(DISK_BYTES);
  disk.set(patternedBytes(1, 0, 300_032), 0);
  disk.set(compressibleBytes(2, 0, 200_192), 1_300_480);
  disk.set(patternedBytes(3, 0, 70_144), 3_145_728);
  return disk;
}

async function convert(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await spindleImg('convert', ...args);
  expect(stderr).toBe('');
  expect(code).toBe(0);
}

const run = (program: string, ...args: readonly string[]) =>
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'ignore'], timeout: 60_000 });

/** What 7-Zip finds in an image. */
function extracted(folder: TemporaryFolder, image: string): Uint8Array {
  run('7zz', 'x', '-y', `-o${folder.file('out')}`, image);
  const files = readdirSync(folder.file('out'));
  expect(files).toHaveLength(1);
  return folder.read(`out/${files[0]}`);
}

describeWith('7zz', '7zip', '7-Zip reads', () => {
  it.each<[format: string, ...options: string[]]>([
    ['qcow2'],
    ['qcow2', '-o', 'cluster_size=4k'],
    ['qcow2', '-o', 'compat=0.10'],
    ['qcow2', '-c'],
    ['qcow'],
    ['vdi'],
    ['vdi', '-o', 'static=on'],
    ['vpc', '-o', 'force_size=on'],
    ['vpc', '-o', 'subformat=fixed,force_size=on'],
    ['vhdx'],
    ['vhdx', '-o', 'subformat=fixed'],
    ['vhdx', '-o', 'block_size=1M'],
    ['vmdk'],
    ['vmdk', '-o', 'subformat=monolithicFlat'],
    ['vmdk', '-o', 'subformat=twoGbMaxExtentSparse'],
  ])('%s %s %s', async (format, ...options) => {
    using folder = new TemporaryFolder();
    const disk = sampleDisk();
    await convert('-f', 'raw', '-O', format, ...options, folder.write('raw', disk), folder.file(`disk.${format}`));
    expect(equalBytes(extracted(folder, folder.file(`disk.${format}`)), disk)).toBe(true);
  });

  it('the bytes of an LZFSE chunk as they are read here', () => {
    using folder = new TemporaryFolder();
    const { bytes, disk } = sampleDmg('lzfse', { dataFork: 0, comments: false });
    const image = folder.write('disk.dmg', bytes);
    // It ends with an error, of whatever blocks the stream is made, and has given all of its bytes by then.
    expect(() => run('7zz', 'x', '-y', `-o${folder.file('out')}`, image)).toThrow('7zz');
    expect(equalBytes(folder.read('out/0.part 0'), disk)).toBe(true);
  });
});

describeWithQemu('beside QEMU', () => {
  describeWith('bximage', 'bximage', 'bximage', () => {
    it.each<[mode: string, format: string]>([
      ['growing', 'bochs'],
      ['vpc', 'vpc'],
      ['vmware4', 'vmdk'],
    ])('makes %s images that are read as QEMU reads them', async (mode, format) => {
      using folder = new TemporaryFolder();
      const disk = sampleDisk();
      const image = folder.file('disk');
      run('bximage', '-func=convert', `-imgmode=${mode}`, '-q', folder.write('raw', disk), image);
      const infos = [
        (await spindleImg('info', '--output=json', image)).stdout,
        await qemuImg('info', '--output=json', image),
      ];
      const [ours, theirs] = infos.map((text) => JSON.parse(text) as Record<string, unknown>);
      expect(ours).toMatchObject({ format, 'virtual-size': theirs!['virtual-size'] });
      await convert('-f', format, '-O', 'raw', image, folder.file('found'));
      expect(equalBytes(folder.read('found').subarray(0, DISK_BYTES), disk)).toBe(true);
    });
  });
});

describeWith('bximage', 'bximage', 'bximage reads', () => {
  it.each<[format: string, ...options: string[]]>([['vpc'], ['vmdk'], ['vmdk', '-o', 'compat6']])(
    '%s %s %s',
    async (format, ...options) => {
      using folder = new TemporaryFolder();
      const disk = sampleDisk();
      await convert('-f', 'raw', '-O', format, ...options, folder.write('raw', disk), folder.file('disk'));
      run('bximage', '-func=convert', '-imgmode=flat', '-q', folder.file('disk'), folder.file('found'));
      const found = folder.read('found');
      expect(found.length).toBeGreaterThanOrEqual(DISK_BYTES);
      expect(equalBytes(found.subarray(0, DISK_BYTES), disk)).toBe(true);
    },
  );
});

function sampleDmg(
  kind: BuiltKind,
  options: Parameters<typeof buildDmg>[2] = {},
): { bytes: Uint8Array; disk: Uint8Array } {
  const chunks = Array.from({ length: 5 }, (_, index) => {
    const data = new Uint8Array(512 * (20 + index));
    if (kind !== 'zero') data.set(patternedBytes(index + 1, 0, data.length >> 1));
    return { kind, data };
  });
  return { bytes: buildDmg([chunks], 'plist', options).bytes, disk: Buffer.concat(chunks.map(({ data }) => data)) };
}

describeWith('dmg2img', 'dmg2img', 'dmg2img reads as is read here', () => {
  it.each<BuiltKind>(['raw', 'zero', 'zlib', 'bzip2', 'adc'])('chunks of kind %s', async (kind) => {
    using folder = new TemporaryFolder();
    const { bytes, disk } = sampleDmg(kind);
    const image = folder.write('disk.dmg', bytes);
    run('dmg2img', '-s', image, folder.file('theirs'));
    await convert('-f', 'dmg', '-O', 'raw', image, folder.file('ours'));
    expect(equalBytes(folder.read('theirs'), disk)).toBe(true);
    expect(equalBytes(folder.read('ours'), disk)).toBe(true);
  });
});

/** What only a process of its own shows: signals, pipes, full disks, files in use. */
import { execFileSync, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { buildPrograms } from '../../scripts/build/cli.ts';
import { version } from '../../src/cli/shared/version.ts';
import { beginProgram, ended, onSmallDisk, untilPrinted } from '../support/cli-process.ts';
import { plainIo } from '../support/cli-io.ts';
import { describeWithQemu, qemuImg, qemuIo, runTool, TemporaryFolder, type ToolResult } from '../support/qemu.ts';

/** As users have them: one file each. */
const BUILT = fileURLToPath(new URL('../../.cache/cli-process-test', import.meta.url));
const IMG = join(BUILT, 'spindle-img.js');
const isRoot = process.getuid?.() === 0;

beforeAll(() => buildPrograms(BUILT));

const begin = (args: readonly string[], stdio?: StdioOptions): ChildProcess => beginProgram(IMG, args, stdio);
const run = (...args: string[]) => ended(begin(args));

/** Waits until a copy has begun: the file that becomes the target is there. */
async function untilBegun(folder: string): Promise<void> {
  while (!readdirSync(folder).some((name) => name.endsWith('.part'))) {
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}

/** Waits until a second file is there too: an extent, a data file. */
async function untilOpen(folder: string): Promise<void> {
  while (readdirSync(folder).length < 2) {
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}

describeWithQemu('spindle-img as a process', () => {
  const folder = new TemporaryFolder();
  const disk = folder.file('disk.raw');
  beforeAll(async () => {
    await qemuImg('create', '-q', '-f', 'raw', disk, '8M');
    await qemuIo(disk, 'raw', 'write -q -P 7 0 8M');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', folder.file('holes.qcow2'), '8M');
    const writes = Array.from({ length: 500 }, (_, index) => `write -q -P 1 ${index * 1024} 512`);
    await qemuIo(folder.file('holes.qcow2'), 'qcow2', ...writes);
  });
  afterAll(() => folder[Symbol.dispose]());

  test('says its version, which is that of the package', async () => {
    const { code, stdout } = await run('--version');
    const packed = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect([code, stdout.split('\n')[0]]).toEqual([0, `spindle-img version ${packed.version}`]);
    expect(version).toBe(packed.version);
  });

  test('answers like qemu-img, exit code included', async () => {
    for (const args of [
      ['info', disk],
      ['info', folder.file('nothing')],
      ['compare', disk, folder.file('holes.qcow2')],
    ]) {
      const { code, stdout, stderr } = await run(...args);
      const wanted = await runTool('qemu-img', args);
      const theirs = { ...wanted, stderr: wanted.stderr.replaceAll('qemu-img', 'spindle-img') };
      expect({ code, stdout, stderr }).toEqual(theirs);
    }
  });

  test('opens a file that it inherited', async () => {
    const descriptor = openSync(disk, 'r');
    const { code, stdout } = await ended(
      begin(['info', '-f', 'raw', '/dev/fd/3'], ['ignore', 'pipe', 'pipe', descriptor]),
    );
    closeSync(descriptor);
    expect([code, stdout.includes('virtual size: 8 MiB')]).toEqual([0, true]);
  });

  test('a reader that goes away is no error', async () => {
    const child = begin(['map', '--output=json', folder.file('holes.qcow2')]);
    child.stdout?.destroy();
    const { code, signal, stderr } = await ended(child);
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('%s: a convert that was stopped leaves nothing', async (signal) => {
    const place = join(folder.path, signal);
    mkdirSync(place);
    const child = begin(['convert', '-r', '1M', '-f', 'raw', '-O', 'qcow2', disk, join(place, 'x.qcow2')]);
    const end = ended(child);
    await untilBegun(place);
    child.kill(signal);
    // A script sees what stopped it.
    expect(await end).toMatchObject({ signal, stderr: 'spindle-img: Stopped before the end\n' });
    expect(readdirSync(place)).toEqual([]);
  });

  test('SIGKILL: what had the name of the target before is still there, and nothing else has it', async () => {
    const place = join(folder.path, 'kill');
    mkdirSync(place);
    const target = join(place, 'x.raw');
    await qemuImg('create', '-q', '-f', 'raw', target, '1M');
    const child = begin(['convert', '-r', '1M', '-f', 'raw', '-O', 'raw', disk, target]);
    const end = ended(child);
    await untilBegun(place);
    child.kill('SIGKILL');
    expect((await end).signal).toBe('SIGKILL');
    expect(readFileSync(target).length).toBe(2 ** 20);
  });

  const manyFiles = [
    ['vmdk', 'subformat=monolithicFlat'],
    ['vmdk', 'subformat=twoGbMaxExtentSparse'],
    ['vmdk', 'subformat=twoGbMaxExtentFlat'],
    ['qcow2', 'data_file=x.data'],
  ] as const;

  test.each(manyFiles)('an image of several files, %s with %s: stopped, and killed', async (format, option) => {
    const place = join(folder.path, option.replace(/.*=/, ''));
    mkdirSync(place);
    const target = join(place, `x.${format}`);
    // The name of a data file is stored as it is given, so it is one that is seen from the image's folder and from here.
    const named = option.replace('x.data', join(place, 'x.data'));
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const child = begin(['convert', '-r', '4M', '-f', 'raw', '-O', format, '-o', named, disk, target]);
      const end = ended(child);
      await untilBegun(place);
      await untilOpen(place);
      expect(existsSync(target)).toBe(false);
      child.kill(signal);
      await end;
      if (signal === 'SIGINT') expect(readdirSync(place)).toEqual([]);
      else expect(existsSync(target)).toBe(false);
    }
    const done = await run('convert', '-f', 'raw', '-O', format, '-o', named, disk, target);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    const compared = await runTool('qemu-img', ['compare', disk, target]);
    expect(compared.stdout).toBe('Images are identical.\n');
  });

  test('an image that another process writes to is refused in QEMU’s words, and shown with -U', async () => {
    const image = folder.file('holes.qcow2');
    const holder = spawn('qemu-io', ['-f', 'qcow2', image], { stdio: ['pipe', 'pipe', 'ignore'] });
    try {
      holder.stdin.write('read -q 0 512\n');
      // The prompt comes when the image is open.
      await new Promise((resolve) => {
        holder.stdout.once('data', resolve);
      });
      const { code, stderr } = await run('info', image);
      const wanted = await runTool('qemu-img', ['info', image]);
      expect({ code, stderr }).toEqual({ code: 1, stderr: wanted.stderr.replaceAll('qemu-img', 'spindle-img') });
      expect((await run('info', '-U', image)).code).toBe(0);
    } finally {
      holder.stdin.end('quit\n');
      await ended(holder);
    }
  });

  test.skipIf(!isRoot)(
    `a full disk: no target is left (${isRoot ? 'on a tmpfs' : 'skipped: mounting one needs root'})`,
    async () => {
      await onSmallDisk(join(folder.path, 'small'), async (place) => {
        for (const format of ['raw', 'qcow2']) {
          const { code, stderr } = await run('convert', '-f', 'raw', '-O', format, disk, join(place, 'x'));
          expect(code).toBe(1);
          expect(stderr).toMatch(/^spindle-img: error while writing at byte \d+: No space left on device\n$/);
          expect(readdirSync(place)).toEqual([]);
        }
        const created = await run('create', '-q', '-f', 'raw', '-o', 'preallocation=full', join(place, 'y'), '8M');
        expect([created.code, created.stderr.includes('No space left on device')]).toEqual([1, true]);
        expect(existsSync(join(place, 'y'))).toBe(false);
      });
    },
  );

  test.skipIf(isRoot)(
    `files that may not be written (${isRoot ? 'skipped: root may write everything' : 'mode 444'})`,
    async () => {
      const target = folder.write('locked.raw', new Uint8Array(512));
      execFileSync('chmod', ['444', target]);
      const { code, stderr } = await run('resize', '-f', 'raw', target, '1M');
      expect([code, stderr.includes('Permission denied')]).toEqual([1, true]);
    },
  );
});

describeWithQemu('spindle-io as a process', () => {
  const folder = new TemporaryFolder();
  const image = folder.file('disk.qcow2');
  const io = (args: readonly string[], stdio?: StdioOptions) => beginProgram(join(BUILT, 'spindle-io.js'), args, stdio);
  const typed: StdioOptions = ['pipe', 'pipe', 'pipe'];
  beforeEach(() => qemuImg('create', '-q', '-f', 'qcow2', image, '64M'));
  afterAll(() => folder[Symbol.dispose]());

  test('a reader that goes away is no error', async () => {
    const child = io(['-r', '-f', 'qcow2', '-c', 'read -v 0 256k', image]);
    child.stdout?.destroy();
    const { code, signal, stderr } = await ended(child);
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  });

  test('an image in use: each of both tools refuses what the other has open', async () => {
    const holder = spawn('qemu-io', ['-f', 'qcow2', image], { stdio: ['pipe', 'pipe', 'ignore'] });
    await untilPrinted(holder, 'qemu-io> ');
    const refused = await ended(io(['-f', 'qcow2', '-c', 'length', image]));
    const wanted = await runTool('qemu-io', ['-f', 'qcow2', '-c', 'length', image]);
    expect([refused.code, plainIo(refused.stderr)]).toEqual([wanted.code, plainIo(wanted.stderr)]);
    const shared = await ended(io(['-r', '-U', '-f', 'qcow2', '-c', 'length', image]));
    expect(shared).toMatchObject({ code: 0, stdout: '64 MiB\n', stderr: '' });
    holder.stdin.end('quit\n');
    await ended(holder);

    const ours = io(['-f', 'qcow2', image], typed);
    await untilPrinted(ours, 'spindle-io> ');
    const theirs = await runTool('qemu-io', ['-f', 'qcow2', '-c', 'length', image]);
    expect([theirs.code, plainIo(theirs.stderr)]).toEqual([wanted.code, plainIo(wanted.stderr)]);
    ours.stdin?.end('quit\n');
    expect((await ended(ours)).code).toBe(0);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)(
    '%s in the middle ends it, and what it had written stays',
    async (signal) => {
      const child = io(['-f', 'qcow2', image], typed);
      const end = ended(child);
      child.stdin?.write('write -P 5 0 64k\nwrite -P 6 1M 4k\naio_write -P 7 8M 32M\n');
      await untilPrinted(child, 'wrote 4096/4096 bytes at offset 1048576');
      child.kill(signal);
      expect((await end).signal).toBe(signal);
      await qemuIo(image, 'qcow2', 'read -P 5 0 64k', 'read -P 6 1M 4k');
      // 3: clusters that nothing points to any more.
      expect([0, 3]).toContain((await runTool('qemu-img', ['check', image])).code);
    },
  );

  test.skipIf(!isRoot)(
    `a full disk (${isRoot ? 'a tmpfs' : 'skipped: mounting one needs root'}): the request fails as in qemu-io, what was there stays`,
    async () => {
      const commands = ['write -P 1 0 256k', 'write -P 2 1M 4M', 'read -P 1 0 256k', 'flush', 'length'];
      const results: ToolResult[] = [];
      for (const tool of ['qemu-io', 'spindle-io'] as const) {
        await onSmallDisk(join(folder.path, tool), async (place) => {
          const small = join(place, 'x.qcow2');
          await qemuImg('create', '-q', '-f', 'qcow2', small, '64M');
          const args = ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), small];
          const { code, stdout, stderr } = tool === 'qemu-io' ? await runTool(tool, args) : await ended(io(args));
          results.push({ code, stdout: plainIo(stdout), stderr: plainIo(stderr) });
          expect([0, 3]).toContain((await runTool('qemu-img', ['check', small])).code);
          await qemuIo(small, 'qcow2', 'read -P 1 0 256k');
        });
      }
      expect(results[1]).toEqual(results[0]);
      expect(results[0]).toMatchObject({ code: 1 });
    },
  );
});

/** Dirty bitmaps in qcow2 images: what QEMU's tools make is read here, what is made here QEMU's tools read. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import type { BlockBackend } from '../../src/block/graph/backend.ts';
import type { BlockGraph } from '../../src/block/graph/graph.ts';
import { changeBitmap, listBitmaps, type BitmapAction } from '../../src/block/image/bitmap.ts';
import { imageInfo } from '../../src/block/image/info.ts';
import { makeQcow2, openQcow2 } from '../support/qcow2-session.ts';
import { LastingStorage } from '../support/scenario.ts';
import { describeWithQemu, qemuCheck, qemuImg, qemuIo, runTool, TemporaryFolder } from '../support/qemu.ts';
import { checkFile, expectSound } from '../support/qcow2-check.ts';
import { Random } from '../support/random.ts';
import { SparseBytes } from '../support/sparse-bytes.ts';

const MiB = 2 ** 20;

interface Disk {
  readonly graph: BlockGraph;
  readonly disk: BlockBackend;
}

/** Opens a file here, works with it, and writes it back. */
async function ourTurn<T>(path: string, folder: TemporaryFolder, work: (opened: Disk) => Promise<T>): Promise<T> {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const storage = new LastingStorage({ initial: folder.read(name) });
  const opened = await openQcow2(storage);
  const result = await work(opened);
  await opened.graph.close(opened.disk);
  folder.write(name, storage.content);
  return result;
}

function change({ graph, disk }: Disk, name: string, ...actions: BitmapAction[]): Promise<void> {
  return startAsync(changeBitmap(graph, disk.node, name, actions));
}

function areas({ disk }: Disk, name: string): [number, number][] {
  return [...disk.node.bitmaps.require(name).dirtyAreas()].map(({ offset, length }) => [offset, length]);
}

async function expectClean(path: string): Promise<void> {
  const ours = await checkFile(SparseBytes.from(new Uint8Array(readFileSync(path))));
  expectSound(ours, 'our check', 'forbidden');
  const { counts, stderr, code } = await qemuCheck(path, 'qcow2');
  expect(stderr).toBe('');
  expect(counts).toMatchObject({ 'check-errors': 0 });
  expect(counts?.leaks ?? 0).toBe(0);
  expect(code).toBe(0);
}

/** The dirty granules that writes leave behind, as areas. */
function expectedAreas(writes: readonly (readonly [number, number])[], granularity: number, size: number) {
  const dirty = new Set<number>();
  for (const [offset, length] of writes) {
    for (let at = Math.floor(offset / granularity); at * granularity < offset + length; at++) dirty.add(at);
  }
  const result: [number, number][] = [];
  for (const granule of [...dirty].toSorted((a, b) => a - b)) {
    const offset = granule * granularity;
    const length = Math.min(granularity, size - offset);
    const last = result.at(-1);
    if (last !== undefined && last[0] + last[1] === offset) last[1] += length;
    else result.push([offset, length]);
  }
  return result;
}

describeWithQemu('qcow2 bitmaps and qemu-img', () => {
  const cases = [
    { cluster_size: 65_536, granularity: 65_536, size: 40 * MiB },
    { cluster_size: 512, granularity: 512, size: 5 * MiB + 512 },
    { cluster_size: 4096, granularity: 4096, size: 64 * MiB },
    { cluster_size: 2 * MiB, granularity: 1024, size: 64 * MiB },
  ];

  it.each(cases)('what qemu-io writes is dirty here, and what is written here is dirty there: %o', async (given) => {
    using folder = new TemporaryFolder();
    const { cluster_size, granularity, size } = given;
    const random = new Random(size + cluster_size);
    const path = folder.file('disk.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${cluster_size}`, path, String(size));
    await qemuImg('bitmap', '--add', '-g', String(granularity), path, 'theirs');
    const choose = (): [number, number][] =>
      Array.from({ length: 12 }, () => {
        const offset = random.below(size / 512 - 1) * 512;
        return [offset, Math.min(size - offset, random.between(1, 400) * 512)];
      });
    const first = choose();
    await qemuIo(path, 'qcow2', ...first.map(([offset, length]) => `write -P 7 ${offset} ${length}`));

    const second = choose();
    await ourTurn(path, folder, async (opened) => {
      expect(areas(opened, 'theirs')).toEqual(expectedAreas(first, granularity, size));
      await change(opened, 'ours', { action: 'add', granularity });
      for (const [index, [offset, length]] of second.entries()) {
        if (index % 3 === 0) await opened.disk.write(offset, new Uint8Array(length).fill(index));
        else if (index % 3 === 1) await opened.disk.writeZeroes(offset, length);
        else await opened.disk.discard(offset, length);
      }
    });
    await expectClean(path);

    // What QEMU merges has gone through its own reading.
    await qemuImg('bitmap', '--add', '-g', String(granularity), '--disable', '--merge', 'ours', path, 'copy');
    await qemuImg('bitmap', '--add', '-g', '512', '--disable', '--merge', 'theirs', path, 'fine');
    await expectClean(path);
    await ourTurn(path, folder, async (opened) => {
      expect(areas(opened, 'ours')).toEqual(expectedAreas(second, granularity, size));
      expect(areas(opened, 'copy')).toEqual(areas(opened, 'ours'));
      expect(areas(opened, 'theirs')).toEqual(expectedAreas([...first, ...second], granularity, size));
      expect(areas(opened, 'fine')).toEqual(areas(opened, 'theirs'));
    });
    await expectClean(path);
  });

  it('a disk that was written everywhere has no dirty granules in what QEMU adds to it', async () => {
    using folder = new TemporaryFolder();
    const size = 7 * 65_536 - 1024;
    const path = folder.write('disk.qcow2', await makeQcow2({ size }));
    await ourTurn(path, folder, async (opened) => {
      await change(opened, 'all', { action: 'add', granularity: 65_536 });
      await opened.disk.write(0, new Uint8Array(size).fill(1));
    });
    await qemuImg('resize', '-q', path, String(size + 65_536));
    const dirty = await ourTurn(path, folder, (opened) => Promise.resolve(areas(opened, 'all')));
    expect(dirty).toEqual([[0, 7 * 65_536]]);
  });

  it('an image with bitmaps is described as qemu-img describes it', async () => {
    using folder = new TemporaryFolder();
    const path = folder.write('disk.qcow2', await makeQcow2({ size: MiB }));
    await ourTurn(path, folder, async (opened) => {
      await change(opened, 'plain', { action: 'add' });
      await change(opened, 'off', { action: 'add', granularity: 2 ** 31, enabled: false });
      await change(opened, 'größe', { action: 'add', granularity: 512 }, { action: 'disable' }, { action: 'enable' });
    });
    await expectClean(path);
    const theirs = JSON.parse(await qemuImg('info', '--output=json', path)) as Record<string, unknown>;
    const ours = await describeReadOnly(folder.read('disk.qcow2'));
    expect(ours['format-specific']).toEqual(theirs['format-specific']);
    expect(theirs['format-specific']).toMatchObject({
      data: {
        bitmaps: [
          { name: 'plain', granularity: 65_536, flags: ['auto'] },
          { name: 'off', granularity: 2 ** 31, flags: [] },
          { name: 'größe', granularity: 512, flags: ['auto'] },
        ],
      },
    });
  });

  it('either side removes, clears, enables and disables what the other has made', async () => {
    using folder = new TemporaryFolder();
    const path = folder.write('disk.qcow2', await makeQcow2({ size: 8 * MiB, cluster_size: 4096 }));
    await ourTurn(path, folder, async (opened) => {
      for (const name of ['a', 'b', 'c', 'd']) await change(opened, name, { action: 'add', granularity: 512 });
      await opened.disk.write(5000, new Uint8Array(3 * MiB).fill(3));
    });
    await qemuImg('bitmap', '--remove', path, 'a');
    await qemuImg('bitmap', '--clear', path, 'b');
    await qemuImg('bitmap', '--disable', path, 'c');
    await expectClean(path);
    await ourTurn(path, folder, async (opened) => {
      const list = await startAsync(listBitmaps(opened.disk.node));
      expect(list.map(({ name, count, recording }) => [name, count, recording])).toEqual([
        ['b', 0, true],
        ['c', 3 * MiB + 512, false],
        ['d', 3 * MiB + 512, true],
      ]);
      await change(opened, 'c', { action: 'enable' });
      await change(opened, 'b', { action: 'merge', source: 'd' });
      await change(opened, 'd', { action: 'remove' });
    });
    await expectClean(path);
    const info = await qemuImg('info', path);
    expect(info).toMatch(/name: b/);
    expect(info).not.toMatch(/name: d/);
    await qemuImg('bitmap', '--remove', path, 'b');
    await ourTurn(path, folder, (opened) => change(opened, 'c', { action: 'remove' }));
    await expectClean(path);
    expect(await qemuImg('info', path)).not.toMatch(/bitmaps/);
  });

  it('refuses what qemu-img refuses, in its words', async () => {
    using folder = new TemporaryFolder();
    const path = folder.write('disk.qcow2', await makeQcow2({ size: MiB }));
    await qemuImg('bitmap', '--add', path, 'there');
    const refused: [string[], string, BitmapAction][] = [
      [['--add'], 'there', { action: 'add' }],
      [['--add'], '', { action: 'add' }],
      [['--add', '-g', '100'], 'new', { action: 'add', granularity: 100 }],
      [['--add', '-g', '4G'], 'new', { action: 'add', granularity: 2 ** 32 }],
      [['--add'], 'x'.repeat(1024), { action: 'add' }],
      ...(['remove', 'clear', 'enable', 'disable'] as const).map((action): [string[], string, BitmapAction] => [
        [`--${action}`],
        'none',
        { action },
      ]),
      [['--merge', 'none'], 'there', { action: 'merge', source: 'none' }],
    ];
    for (const [args, name, action] of refused) {
      const { code, stderr } = await runTool('qemu-img', ['bitmap', ...args, path, name]);
      expect(code).toBe(1);
      const words = stderr.trim().split('\n').at(-1)!.replace('qemu-img: ', '');
      await ourTurn(path, folder, async (opened) => {
        const error = await change(opened, name, action).catch((reason: unknown) => reason);
        const expected = words.replace(/#block\d+/, opened.disk.node.nodeName);
        expect((error as Error).message).toContain(expected);
      });
    }
  });
});

async function describeReadOnly(file: Uint8Array): Promise<Record<string, unknown>> {
  const { graph, disk } = await openQcow2(new LastingStorage({ initial: file, readOnly: true }), { 'read-only': true });
  const info = await startAsync(imageInfo(disk.node));
  await graph.close(disk);
  return { ...info };
}

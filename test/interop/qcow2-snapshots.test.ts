/** Internal snapshots, made, applied, deleted and read by QEMU's tools and by this project in turns on one image. */
import { expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import type { SnapshotInfo } from '../../src/block/driver.ts';
import type { BlockNode } from '../../src/block/graph/node.ts';
import { imageInfo } from '../../src/block/image/info.ts';
import {
  applySnapshot,
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
  loadSnapshot,
  writeVmState,
} from '../../src/block/image/snapshot.ts';
import { checkFile, expectSound } from '../support/qcow2-check.ts';
import { makeQcow2, openQcow2, readDisk } from '../support/qcow2-session.ts';
import { describeWithQemu, qemuCheck, qemuImg, qemuIo, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes, Random } from '../support/random.ts';
import { LastingStorage, type OpenedDisk } from '../support/scenario.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';

const KiB = 1024;
const MiB = KiB ** 2;

interface Case {
  readonly cluster_size: number;
  readonly refcount_bits: number;
  readonly compat: '0.10' | '1.1';
  readonly lazy_refcounts: boolean;
  readonly backing: boolean;
  readonly size: number;
  readonly extended_l2?: boolean;
}

const cases: readonly Case[] = [
  { cluster_size: 512, refcount_bits: 16, compat: '1.1', lazy_refcounts: false, backing: false, size: MiB },
  { cluster_size: 4 * KiB, refcount_bits: 8, compat: '1.1', lazy_refcounts: true, backing: true, size: 2 * MiB },
  { cluster_size: 4 * KiB, refcount_bits: 16, compat: '0.10', lazy_refcounts: false, backing: true, size: 2 * MiB },
  { cluster_size: 64 * KiB, refcount_bits: 64, compat: '1.1', lazy_refcounts: false, backing: false, size: 5 * MiB },
  {
    cluster_size: 16 * KiB,
    refcount_bits: 16,
    compat: '1.1',
    lazy_refcounts: false,
    backing: true,
    size: 3 * MiB,
    extended_l2: true,
  },
];

const BASE_VALUE = 0xba;

/** An image file in a folder, what its disk must hold, and what each of its snapshots must. */
class Image implements Disposable {
  readonly folder = new TemporaryFolder();
  readonly snapshots = new Map<string, Uint8Array>();
  readonly #one: Case;
  content: Uint8Array;

  constructor(one: Case) {
    this.#one = one;
    this.content = new Uint8Array(one.size).fill(one.backing ? BASE_VALUE : 0);
    if (one.backing) this.folder.write('base.raw', this.content);
  }

  get path(): string {
    return this.folder.file('image.qcow2');
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }

  async create(): Promise<void> {
    const { size, cluster_size, refcount_bits, compat, lazy_refcounts, backing, extended_l2 = false } = this.#one;
    this.folder.write(
      'image.qcow2',
      await makeQcow2({
        size,
        cluster_size,
        compat,
        ...(compat === '1.1' && { refcount_bits, lazy_refcounts, extended_l2 }),
        ...(backing && { backing_file: 'base.raw', backing_fmt: 'raw' }),
      }),
    );
  }

  /** Opens it with this project, does something, and writes it back. */
  async ours<T>(act: (node: BlockNode, opened: OpenedDisk) => Promise<T>, options = {}): Promise<T> {
    const storage = new LastingStorage({ initial: this.folder.read('image.qcow2') });
    const base = this.#one.backing
      ? new SimulatedStorage({ initial: this.folder.read('base.raw'), readOnly: true })
      : undefined;
    const opened = await openQcow2(storage, options, base);
    const result = await act(opened.disk.node, opened);
    await opened.graph.close(opened.disk);
    this.folder.write('image.qcow2', storage.content);
    return result;
  }

  async verify(what: string): Promise<void> {
    const { counts, stdout, stderr } = await qemuCheck(this.path, 'qcow2');
    expect(counts, what + stdout + stderr).toMatchObject({ 'check-errors': 0 });
    expect(counts?.corruptions ?? 0, what + stderr).toBe(0);
    expect(counts?.leaks ?? 0, what + stderr).toBe(0);
    const checked = await checkFile(new LastingStorage({ initial: this.folder.read('image.qcow2') }).content);
    expectSound(checked, what, 'forbidden');
    const ours = await this.ours((_, { disk }) => readDisk(disk), { 'read-only': true });
    expect(equalBytes(ours, this.content), `${what}: what we read`).toBe(true);
    await qemuImg('convert', '-f', 'qcow2', '-O', 'raw', this.path, this.folder.file('view.raw'));
    expect(equalBytes(this.folder.read('view.raw'), this.content), `${what}: what QEMU reads`).toBe(true);
    for (const [name, content] of this.snapshots) await this.#verifySnapshot(name, content, what);
  }

  async #verifySnapshot(name: string, content: Uint8Array, what: string): Promise<void> {
    const ours = await this.ours(
      async (node, { disk }) => {
        await startAsync(loadSnapshot(node, name));
        return readDisk(disk);
      },
      { 'read-only': true },
    );
    expect(equalBytes(ours, content), `${what}: what we read in snapshot ${name}`).toBe(true);
    // QEMU gives its copy the disk's present size.
    if (content.length !== this.content.length) return;
    await qemuImg('convert', '-f', 'qcow2', '-O', 'raw', '-l', name, this.path, this.folder.file('view.raw'));
    expect(equalBytes(this.folder.read('view.raw'), content), `${what}: what QEMU reads in snapshot ${name}`).toBe(
      true,
    );
  }
}

async function writes(image: Image, side: 'ours' | 'theirs', random: Random, one: Case): Promise<void> {
  const steps = Array.from({ length: 6 }, () => {
    const unit = random.pick([512, 4096, one.cluster_size]);
    const size = image.content.length;
    const offset = Math.floor(random.below(size) / unit) * unit;
    const length = Math.min(size - offset, unit * random.between(1, 6));
    return { verb: random.weighted({ write: 5, zero: 2 }), offset, length, value: random.between(1, 255) };
  });
  for (const { verb, offset, length, value } of steps) {
    image.content.fill(verb === 'write' ? value : 0, offset, offset + length);
  }
  if (side === 'theirs') {
    const commands = steps.map(({ verb, offset, length, value }) =>
      verb === 'write' ? `write -P ${value} ${offset} ${length}` : `write -z -u ${offset} ${length}`,
    );
    await qemuIo(image.path, 'qcow2', ...commands);
    return;
  }
  await image.ours(async (_, { disk }) => {
    for (const { verb, offset, length, value } of steps) {
      if (verb === 'write') await disk.write(offset, new Uint8Array(length).fill(value));
      else await disk.writeZeroes(offset, length, { mayUnmap: true });
    }
  });
}

async function turn(image: Image, side: 'ours' | 'theirs', random: Random, one: Case, index: number): Promise<string> {
  const names = [...image.snapshots.keys()];
  const verb = random.weighted({
    writes: 4,
    create: 3,
    ...(names.length > 0 && { apply: 2, delete: 2 }),
    ...(one.compat === '1.1' && side === 'ours' && { resize: 1 }),
  });
  const name = names.length > 0 ? random.pick(names) : '';
  switch (verb) {
    case 'writes':
      await writes(image, side, random, one);
      break;
    case 'create': {
      const created = `snap-${index}`;
      image.snapshots.set(created, image.content.slice());
      if (side === 'theirs') await qemuImg('snapshot', '-c', created, image.path);
      else await image.ours((node) => startAsync(createSnapshot(node, { name: created })));
      break;
    }
    case 'apply':
      image.content = image.snapshots.get(name)!.slice();
      if (side === 'theirs') await qemuImg('snapshot', '-a', name, image.path);
      else await image.ours((node) => startAsync(applySnapshot(node, name)));
      break;
    case 'delete':
      image.snapshots.delete(name);
      if (side === 'theirs') await qemuImg('snapshot', '-d', name, image.path);
      else await image.ours((node) => startAsync(deleteSnapshot(node, name)));
      break;
    case 'resize': {
      const size = 512 * random.between(1, (one.size * 1.5) / 512);
      const grown = new Uint8Array(size);
      grown.set(image.content.subarray(0, size));
      image.content = grown;
      await image.ours(async (_, { disk }) => disk.resize(size));
    }
  }
  return `${index}. ${side}: ${verb} ${name}`;
}

describeWithQemu('qcow2 snapshots', () => {
  it.each(cases)('two writers take turns: %o', { timeout: 60_000 }, async (one) => {
    const seed = 4000 + cases.indexOf(one);
    const random = new Random(seed);
    using image = new Image(one);
    await image.create();
    const log: string[] = [];
    for (let index = 1; index <= 10; index++) {
      const side = random.pick(['ours', 'theirs'] as const);
      log.push(await turn(image, side, random, one, index));
      await image.verify(`seed ${seed}\n${log.join('\n')}\n`);
    }
  });

  it('the list of snapshots is what qemu-img says it is', async () => {
    using image = new Image(cases[0]!);
    await image.create();
    await qemuImg('snapshot', '-c', 'theirs', image.path);
    const state = new Uint8Array(70_000).fill(7);
    await image.ours(async (node) => {
      await startAsync(writeVmState(node, 0, state));
      await startAsync(
        createSnapshot(node, {
          name: 'ours: ünïcode',
          dateSeconds: 1_700_000_000,
          dateNanoseconds: 5,
          vmClockNanoseconds: 3_723_000_000_004n,
          vmStateSize: state.length,
        }),
      );
    });
    await image.verify('after both');
    const theirs = JSON.parse(await qemuImg('info', '--output=json', image.path)) as { snapshots: unknown };
    const ours = await image.ours((node) => startAsync(imageInfo(node)), { 'read-only': true });
    expect(ours.snapshots).toEqual(theirs.snapshots);
    expect(ours.snapshots).toHaveLength(2);
    const list: readonly SnapshotInfo[] = await image.ours((node) => Promise.resolve(listSnapshots(node)));
    expect(list.map(({ id, diskSize, vmStateSize }) => ({ id, diskSize, vmStateSize }))).toEqual([
      { id: '1', diskSize: MiB, vmStateSize: 0 },
      { id: '2', diskSize: MiB, vmStateSize: 70_000 },
    ]);
  });
});

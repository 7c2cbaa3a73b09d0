// VMDK subformat by subformat: QEMU's tools and this project take turns on one disk, and each must read what the other wrote.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { startAsync } from '../../src/block/co.ts';
import type { BlockGraph } from '../../src/block/graph/graph.ts';
import type { BlockBackend } from '../../src/block/graph/backend.ts';
import { checkImage } from '../../src/block/image/check.ts';
import { createImage } from '../../src/block/image/create.ts';
import { createNodeGraph } from '../../src/node/index.ts';
import { describeWithQemu, qemuCheck, qemuImg, qemuIo, runTool, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes, Random } from '../support/random.ts';
import { SUBFORMATS } from '../support/vmdk-fixture.ts';

const GRAIN = 65_536;
const ROUNDS = 4;
const STEPS = 8;

interface Step {
  readonly offset: number;
  readonly length: number;
  readonly value: number;
}

/** A disk of a few megabytes, or a window of a large one. */
class Turns {
  readonly #folder: TemporaryFolder;
  readonly #random: Random;
  readonly #size: number;
  /** The part that is written and looked at. */
  readonly #start: number;
  readonly #expected: Uint8Array;
  /** Grains are written once, and whole. */
  readonly #once: Set<number> | undefined;

  constructor(folder: TemporaryFolder, random: Random, size: number, start: number, once: boolean) {
    this.#folder = folder;
    this.#random = random;
    this.#size = size;
    this.#start = start;
    this.#expected = new Uint8Array(Math.min(size - start, 3 * 2 ** 20));
    this.#once = once ? new Set() : undefined;
  }

  get #path(): string {
    return this.#folder.file('disk.vmdk');
  }

  async create(byQemu: boolean, options: Readonly<Record<string, string>>, base?: string): Promise<void> {
    const more = base === undefined ? {} : { backing_file: base, backing_fmt: 'vmdk' };
    const all = { ...options, ...more };
    if (byQemu) {
      const text = Object.entries(all).map(([name, value]) => `${name}=${value}`);
      await qemuImg('create', '-q', '-f', 'vmdk', '-o', text.join(), this.#path, String(this.#size));
      return;
    }
    const graph = createNodeGraph();
    const file = { driver: 'file', filename: this.#path };
    const named = base === undefined ? all : { ...all, backing_file: this.#folder.file(base) };
    await startAsync(createImage(graph, { driver: 'vmdk', file, size: this.#size, ...named }));
  }

  expectBase(content: Uint8Array): void {
    this.#expected.set(content.subarray(0, this.#expected.length));
  }

  #steps(): Step[] {
    const steps: Step[] = [];
    while (steps.length < STEPS) {
      const unit = this.#once === undefined ? this.#random.pick([512, 4096, GRAIN]) : GRAIN;
      const offset = Math.floor(this.#random.below(this.#expected.length) / unit) * unit;
      const count = this.#once === undefined ? this.#random.between(1, 4) : 1;
      const length = Math.min(this.#expected.length - offset, unit * count);
      if (this.#once?.has(offset) === true) break;
      this.#once?.add(offset);
      const zero = this.#once === undefined && this.#random.chance(0.2);
      steps.push({ offset, length, value: zero ? 0 : this.#random.between(1, 255) });
    }
    for (const { offset, length, value } of steps) this.#expected.fill(value, offset, offset + length);
    return steps;
  }

  async writeByQemu(): Promise<void> {
    const commands = this.#steps().map(({ offset, length, value }) => {
      const at = `${this.#start + offset} ${length}`;
      return value === 0 ? `write -z ${at}` : `write -P ${value} ${at}`;
    });
    if (commands.length > 0) await qemuIo(this.#path, 'vmdk', ...commands);
  }

  async writeByUs(): Promise<void> {
    const { graph, disk } = await this.#open(false);
    for (const { offset, length, value } of this.#steps()) {
      if (value === 0) await disk.writeZeroes(this.#start + offset, length);
      else await disk.write(this.#start + offset, new Uint8Array(length).fill(value));
    }
    await graph.close(disk);
  }

  async #open(readOnly: boolean): Promise<{ graph: BlockGraph; disk: BlockBackend }> {
    const graph = createNodeGraph();
    const file = { driver: 'file', filename: this.#path };
    const options = { driver: 'vmdk', file, 'read-only': readOnly };
    return { graph, disk: await graph.open(options, { references: () => true }) };
  }

  async verify(): Promise<void> {
    const theirs = this.#folder.file('theirs');
    const window = `driver=raw,offset=${this.#start},size=${this.#expected.length},file.driver=vmdk,file.file.filename=${this.#path}`;
    await qemuImg('convert', '--image-opts', '-O', 'raw', window, theirs);
    this.#compare(new Uint8Array(readFileSync(theirs)), 'QEMU reads');
    const { graph, disk } = await this.#open(true);
    const ours = new Uint8Array(this.#expected.length);
    await disk.read(this.#start, ours);
    this.#compare(ours, 'Spindle reads');
    const { corruptions, checkErrors } = await startAsync(checkImage(graph, disk.node, 'none'));
    expect({ corruptions, checkErrors }).toEqual({ corruptions: 0, checkErrors: 0 });
    await graph.close(disk);
    const { counts, stderr } = await qemuCheck(this.#path, 'vmdk');
    expect(counts, stderr).toMatchObject({ 'check-errors': 0 });
    expect(counts?.corruptions ?? 0, stderr).toBe(0);
  }

  #compare(found: Uint8Array, who: string): void {
    if (equalBytes(found, this.#expected)) return;
    const at = this.#expected.findIndex((value, index) => value !== found[index]);
    throw new Error(`${who} ${found[at]} at ${at}, not ${this.#expected[at]}`);
  }
}

async function takeTurns(turns: Turns, random: Random): Promise<void> {
  await turns.verify();
  for (let round = 0; round < ROUNDS; round++) {
    await (random.chance(0.5) ? turns.writeByQemu() : turns.writeByUs());
    await turns.verify();
  }
}

describeWithQemu('VMDK beside QEMU', () => {
  describe.each(SUBFORMATS)('%s', (subformat) => {
    it.each([1, 2])('both write to one disk, and read what the other wrote: seed %i', async (seed) => {
      using folder = new TemporaryFolder();
      const random = new Random(seed);
      const size = 512 * random.between(1, 6000);
      const turns = new Turns(folder, random, size, 0, subformat === 'streamOptimized');
      await turns.create(seed % 2 === 0, { subformat });
      await takeTurns(turns, random);
    });
  });

  it.each(['twoGbMaxExtentSparse', 'twoGbMaxExtentFlat'])(
    '%s, where one extent ends and the next begins',
    async (subformat) => {
      using folder = new TemporaryFolder();
      const random = new Random(5);
      const turns = new Turns(folder, random, 5 * 2 ** 30, 2 ** 31 - 2 ** 20, false);
      await turns.create(false, { subformat });
      await takeTurns(turns, random);
    },
  );

  it.each(['monolithicSparse', 'twoGbMaxExtentSparse'])('%s over a base, with zeroed grains', async (subformat) => {
    using folder = new TemporaryFolder();
    const random = new Random(7);
    const size = 2 ** 20 + 512 * 77;
    await qemuImg('create', '-q', '-f', 'vmdk', folder.file('base.vmdk'), String(size));
    await qemuIo(folder.file('base.vmdk'), 'vmdk', 'write -P 66 0 700k');
    const turns = new Turns(folder, random, size, 0, false);
    await turns.create(false, { subformat, zeroed_grain: 'on' }, 'base.vmdk');
    turns.expectBase(new Uint8Array(700 * 1024).fill(66));
    await takeTurns(turns, random);
  });

  it('a base that was written to is refused by both, whoever wrote', async () => {
    using folder = new TemporaryFolder();
    const file = (name: string) => folder.file(name);
    await qemuImg('create', '-q', '-f', 'vmdk', file('base.vmdk'), '1M');
    await qemuImg('create', '-q', '-f', 'vmdk', '-b', 'base.vmdk', '-F', 'vmdk', file('top.vmdk'));
    const graph = createNodeGraph();
    const base = await graph.open({ driver: 'vmdk', file: { driver: 'file', filename: file('base.vmdk') } });
    await base.write(0, new Uint8Array(512).fill(1));
    await graph.close(base);
    expect((await runTool('qemu-io', ['-c', 'read 0 512', file('top.vmdk')])).stdout).toContain('Invalid argument');
    const top = { driver: 'vmdk', file: { driver: 'file', filename: file('top.vmdk') } };
    await expect(graph.open(top, { references: () => true })).rejects.toMatchObject({ kind: 'base-changed' });
  });

  it('the two copies of the grain tables stay equal', async () => {
    using folder = new TemporaryFolder();
    const random = new Random(11);
    const turns = new Turns(folder, random, 40 * 2 ** 20, 31 * 2 ** 20, false);
    await turns.create(true, { subformat: 'monolithicSparse' });
    await turns.writeByUs();
    const bytes = folder.read('disk.vmdk');
    const view = new DataView(bytes.buffer);
    // Two tables of 2 KiB each, behind a directory of a sector.
    const [redundant, main] = [48, 56].map((at) => Number(view.getBigUint64(at, true)) * 512 + 512);
    const tables = bytes.subarray(main, main! + 4096);
    expect(tables.some((value) => value !== 0)).toBe(true);
    expect(equalBytes(bytes.subarray(redundant, redundant! + 4096), tables)).toBe(true);
  });
});

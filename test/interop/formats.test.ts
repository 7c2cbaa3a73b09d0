// Every writable format but qcow2: QEMU's tools and this project take turns on one image, and each must read what the other wrote.
import { describe, expect, it } from 'vitest';
import type { FormatDriver } from '../../src/block/driver.ts';
import { describeWithQemu, qemuCheck, qemuImg, qemuIo, TemporaryFolder } from '../support/qemu.ts';
import { equalBytes, Random } from '../support/random.ts';
import { LastingStorage, makeImage, openDisk } from '../support/scenario.ts';
import { SimulatedStorage } from '../support/simulated-storage.ts';
import { testedFormats, type TestedFormat } from '../support/tested-formats.ts';

const ROUNDS = 4;
const STEPS_PER_ROUND = 10;
const MAX_SIZE = 3 * 2 ** 20;
const BASE_NAME = 'base.img';

interface Step {
  readonly offset: number;
  readonly length: number;
  /** The byte that is written everywhere; 0: zeroes are asked for. */
  readonly value: number;
}

function chooseSteps(random: Random, size: number, boundaries: readonly number[]): Step[] {
  return Array.from({ length: STEPS_PER_ROUND }, () => {
    const unit = random.pick([512, 4096, ...boundaries.filter((boundary) => boundary < size)]);
    const offset = Math.min(size - 512, Math.floor(random.below(size) / unit) * unit);
    const length = Math.min(size - offset, unit * random.between(1, 4));
    return { offset, length, value: random.chance(0.2) ? 0 : random.between(1, 255) };
  });
}

class SharedImage {
  readonly #format: TestedFormat;
  readonly #folder: TemporaryFolder;
  readonly #random: Random;
  readonly #size: number;
  readonly #base: Uint8Array | undefined;
  readonly #expected: Uint8Array;
  readonly #options: Readonly<Record<string, unknown>>;

  constructor(format: TestedFormat, folder: TemporaryFolder, random: Random) {
    const { sizeUnit = 512 } = format;
    this.#format = format;
    this.#folder = folder;
    this.#random = random;
    this.#size = sizeUnit * random.between(1, Math.floor(MAX_SIZE / sizeUnit));
    this.#expected = new Uint8Array(this.#size);
    this.#options = format.create(random);
    const mayHaveBase = format.driver.capabilities.backing && format.bases === undefined;
    this.#base = mayHaveBase && random.chance(0.5) ? this.#makeBase() : undefined;
  }

  get #driver(): FormatDriver {
    return this.#format.driver;
  }

  get #path(): string {
    return this.#folder.file('disk');
  }

  #makeBase(): Uint8Array {
    const base = new Uint8Array(512 * Math.ceil(this.#size / 1024)).map((_, index) => (index >> 9) % 251);
    this.#folder.write(BASE_NAME, base);
    this.#expected.set(base.subarray(0, this.#size));
    return base;
  }

  async create(byQemu: boolean): Promise<void> {
    const backing = this.#base === undefined ? {} : { backing_file: BASE_NAME, backing_fmt: 'raw' };
    const options = { ...this.#options, ...backing };
    if (byQemu) {
      const text = Object.entries(options).map(([name, value]) => `${name}=${value as string | number}`);
      const given = text.length === 0 ? [] : ['-o', text.join()];
      await qemuImg('create', '-q', '-f', this.#driver.name, ...given, this.#path, String(this.#size));
    } else {
      this.#folder.write('disk', await makeImage(this.#driver, { size: this.#size, ...options }));
    }
  }

  async writeByQemu(): Promise<void> {
    const steps = chooseSteps(this.#random, this.#size, this.#format.boundaries);
    const commands = steps.map(({ offset, length, value }) =>
      value === 0 ? `write -z ${offset} ${length}` : `write -P ${value} ${offset} ${length}`,
    );
    await qemuIo(this.#path, this.#driver.name, ...commands);
    this.#expect(steps);
  }

  async writeByUs(): Promise<void> {
    const steps = chooseSteps(this.#random, this.#size, this.#format.boundaries);
    const storage = new LastingStorage({ initial: this.#folder.read('disk') });
    const { graph, disk } = await openDisk(this.#driver, storage, {}, this.#baseStorage());
    for (const { offset, length, value } of steps) {
      if (value === 0) await disk.writeZeroes(offset, length);
      else await disk.write(offset, new Uint8Array(length).fill(value));
    }
    await graph.close(disk);
    this.#folder.write('disk', storage.content);
    this.#expect(steps);
  }

  #expect(steps: readonly Step[]): void {
    for (const { offset, length, value } of steps) this.#expected.fill(value, offset, offset + length);
  }

  async verify(): Promise<void> {
    await qemuImg('convert', '-f', this.#driver.name, '-O', 'raw', this.#path, this.#folder.file('theirs'));
    this.#compare(this.#folder.read('theirs'), 'QEMU reads');
    const storage = new SimulatedStorage({ initial: this.#folder.read('disk'), readOnly: true });
    const { graph, disk } = await openDisk(this.#driver, storage, { 'read-only': true }, this.#baseStorage());
    const ours = new Uint8Array(disk.length);
    await disk.read(0, ours);
    await graph.close(disk);
    this.#compare(ours, 'Spindle reads');
    if (!this.#driver.capabilities.check) return;
    const { counts, stderr } = await qemuCheck(this.#path, this.#driver.name);
    expect(counts, stderr).toMatchObject({ 'check-errors': 0 });
    expect(counts?.corruptions ?? 0, stderr).toBe(0);
  }

  /** Some formats hold whole cylinders or blocks only: what is behind the size that was asked for is zero. */
  #compare(found: Uint8Array, who: string): void {
    expect(found.length, who).toBeGreaterThanOrEqual(this.#size);
    if (!equalBytes(found.subarray(0, this.#size), this.#expected)) {
      const at = this.#expected.findIndex((value, index) => value !== found[index]);
      throw new Error(`${who} ${found[at]} at ${at}, not ${this.#expected[at]}`);
    }
    expect(found.subarray(this.#size).every((value) => value === 0)).toBe(true);
  }

  #baseStorage(): SimulatedStorage | undefined {
    return this.#base === undefined ? undefined : new SimulatedStorage({ initial: this.#base, readOnly: true });
  }
}

describeWithQemu('formats beside QEMU', () => {
  const tested = testedFormats.filter(({ interopElsewhere }) => interopElsewhere !== true);
  describe.each(tested.map((format) => ({ name: format.driver.name, format })))('$name', ({ format }) => {
    it.each([1, 2, 3, 4, 5, 6])('both write to one image, and read what the other wrote: seed %i', async (seed) => {
      using folder = new TemporaryFolder();
      const random = new Random(seed);
      const image = new SharedImage(format, folder, random);
      await image.create(seed % 2 === 0);
      await image.verify();
      for (let round = 0; round < ROUNDS; round++) {
        await (random.chance(0.5) ? image.writeByQemu() : image.writeByUs());
        await image.verify();
      }
    });
  });
});

/** Random command lines as a suite: both tools are given the same, and nothing may differ. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { outcomesOf } from './cli-difference.ts';
import { makeFormatsFixture } from './cli-fixture-formats.ts';
import { ioTools } from './cli-io.ts';
import { randomCommand } from './cli-random.ts';
import { imageTools } from './cli-table.ts';
import { randomIo } from './io-random.ts';
import { describeWithQemu, TemporaryFolder } from './qemu.ts';
import { Random } from './random.ts';

/** How many lines are one test: a test takes a second or two. */
const LOT = 10;
const SEEDS_PER_RUN = 100_000;

/**
 * @param seed of the whole run. A line is made by a seed of its own, which is printed with what differs
 * @param lines how many, for each of the two programs
 */
export function describeRandomLines(
  title: string,
  seed: number,
  lines: { readonly img: number; readonly io: number },
): void {
  describeWithQemu(title, () => {
    const fixture = new TemporaryFolder();
    const work = new TemporaryFolder();
    beforeAll(() => makeFormatsFixture(fixture.path));
    afterAll(() => {
      fixture[Symbol.dispose]();
      work[Symbol.dispose]();
    });

    const programs = [
      { name: 'img', make: randomCommand, tools: imageTools, count: lines.img },
      { name: 'io', make: randomIo, tools: ioTools, count: lines.io },
    ];
    const lots = programs.flatMap((program) =>
      Array.from({ length: Math.ceil(program.count / LOT) }, (_, lot) => ({ ...program, first: lot * LOT })),
    );
    test.each(lots)('spindle-$name, $first and on', async ({ make, tools, first, count }) => {
      for (let index = first; index < Math.min(count, first + LOT); index++) {
        const lineSeed = seed * SEEDS_PER_RUN + index;
        const command = make(new Random(lineSeed));
        const { theirs, ours } = await outcomesOf(fixture.path, work.path, command, tools);
        expect(ours, `seed ${lineSeed}: ${command.map((word) => `'${word}'`).join(' ')}`).toBe(theirs);
      }
    });
  });
}

/** The long tier of the fuzzer: as many images of each format, shared out among the rows that it has, and among two files (and cores). */
import { describe, expect, it } from 'vitest';
import { fuzzedFormats } from '../support/fuzzed-formats.ts';
import { CASES_PER_FORMAT, PARTS } from './case-counts.ts';
import { runFormatFuzz } from './format-fuzz.ts';

const CASES_PER_SEED = 100;
const FIRST_SEED = 30_000;

/** Declares the tests of every row, over a part of the seeds. */
export function describeFuzzedFormats(part: 0 | 1): void {
  const rows = fuzzedFormats.map((format) => {
    const kin = fuzzedFormats.filter(({ driver }) => driver === format.driver).length;
    const seeds = Math.ceil(CASES_PER_FORMAT / kin / CASES_PER_SEED / PARTS);
    return { name: format.name ?? format.driver.name, format, first: FIRST_SEED + part * seeds, seeds };
  });
  describe.each(rows)('hostile $name', ({ format, first, seeds }) => {
    it(`images end in BlockErrors: ${seeds * CASES_PER_SEED} of them, seeds from ${first}`, async () => {
      let opened = 0;
      for (let seed = first; seed < first + seeds; seed++) {
        opened += (await runFormatFuzz(format, seed, CASES_PER_SEED))['opened']!;
      }
      // Damage that nothing gets past would prove nothing.
      expect(opened).toBeGreaterThan((seeds * CASES_PER_SEED) / 20);
    });
  });
}

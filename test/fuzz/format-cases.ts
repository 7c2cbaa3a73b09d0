/** The long tier of the fuzzer: 4,000 images of each format, shared out among the rows that it has, and among two files (and cores). */
import { describe, expect, it } from 'vitest';
import { fuzzedFormats } from '../support/fuzzed-formats.ts';
import { runFormatFuzz } from './format-fuzz.ts';

const CASES_PER_FORMAT = 4000;
const CASES_PER_SEED = 100;
const FIRST_SEED = 30_000;

/** Declares the tests of every second row. @param part 0 or 1 */
export function describeFuzzedFormats(part: 0 | 1): void {
  const rows = fuzzedFormats.map((format) => {
    const kin = fuzzedFormats.filter(({ driver }) => driver === format.driver).length;
    return {
      name: format.name ?? format.driver.name,
      format,
      seeds: Math.ceil(CASES_PER_FORMAT / kin / CASES_PER_SEED),
    };
  });
  describe.each(rows.filter((_, index) => index % 2 === part))('hostile $name', ({ format, seeds }) => {
    it(`images end in BlockErrors: ${seeds * CASES_PER_SEED} of them, seeds from ${FIRST_SEED}`, async () => {
      let opened = 0;
      for (let seed = FIRST_SEED; seed < FIRST_SEED + seeds; seed++) {
        opened += (await runFormatFuzz(format, seed, CASES_PER_SEED))['opened']!;
      }
      // Damage that nothing gets past would prove nothing.
      expect(opened).toBeGreaterThan((seeds * CASES_PER_SEED) / 20);
    });
  });
}

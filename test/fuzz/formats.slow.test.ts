import { describe, expect, it } from 'vitest';
import { fuzzedFormats } from '../support/fuzzed-formats.ts';
import { runFormatFuzz } from './format-fuzz.ts';

const CASES = 20_000;
const CASES_PER_SEED = 100;
const FIRST_SEED = 30_000;

describe.each(fuzzedFormats.map((format) => ({ name: format.name ?? format.driver.name, format })))(
  'hostile $name',
  ({ format }) => {
    it(`images end in BlockErrors: ${CASES} of them, seeds from ${FIRST_SEED}`, async () => {
      let opened = 0;
      for (let seed = FIRST_SEED; seed < FIRST_SEED + CASES / CASES_PER_SEED; seed++) {
        opened += (await runFormatFuzz(format, seed, CASES_PER_SEED))['opened']!;
      }
      // Damage that nothing gets past would prove nothing.
      expect(opened).toBeGreaterThan(CASES / 20);
    });
  },
);

import { describe, expect, it } from 'vitest';
import { fuzzedFormats } from '../support/fuzzed-formats.ts';
import { runFormatFuzz } from './format-fuzz.ts';

describe.each(fuzzedFormats.map((format) => ({ name: format.name ?? format.driver.name, format })))(
  'hostile $name',
  ({ format }) => {
    it.each([1, 2, 3])('images end in BlockErrors: seed %i', async (seed) => {
      expect((await runFormatFuzz(format, seed, 30))['images']).toBe(30);
    });
  },
);

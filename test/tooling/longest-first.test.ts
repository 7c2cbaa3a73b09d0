import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { LONGEST } from '../../scripts/test/longest-first.ts';

it('the files that go first are there', () => {
  expect(LONGEST.filter((path) => !existsSync(path))).toEqual([]);
  expect(new Set(LONGEST).size).toBe(LONGEST.length);
});

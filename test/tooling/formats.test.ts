import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { formatsDocument } from '../../scripts/formats.ts';
import { formatDrivers } from '../../src/block/format/index.ts';

test('docs/FORMATS.md is what the drivers say of themselves: `npm run formats` writes it', () => {
  expect(readFileSync('docs/FORMATS.md', 'utf8')).toBe(formatsDocument());
});

test('the matrix has a row for each format and changes with what a driver can do', () => {
  const text = formatsDocument();
  for (const { name } of formatDrivers) expect(text.match(new RegExp(`^\\| \`${name}\` \\|`, 'gm'))).toHaveLength(2);
  const changed = formatDrivers.map((driver) => ({
    ...driver,
    capabilities: { ...driver.capabilities, write: !driver.capabilities.write },
  }));
  expect(formatsDocument(changed)).not.toBe(text);
});

import { expect, test } from 'vitest';
import { ago, baseName, percent, plural, size, sizeExact } from '../../src/ui/parts/text.ts';

test('sizes keep to three digits and hide nothing where they stand in full', () => {
  expect([0, 1, 712, 1024, 1536, 4 * 2 ** 20, 44_040_192, 2 ** 40].map(size)).toEqual([
    '0 bytes',
    '1 byte',
    '712 bytes',
    '1 KiB',
    '1.5 KiB',
    '4 MiB',
    '42 MiB',
    '1 TiB',
  ]);
  expect(size(2 ** 40 - 448 * 2 ** 20)).toBe('1 TiB');
  expect(sizeExact(1_610_612_737)).toBe('1.5 GiB (1,610,612,737 bytes)');
});

test('a share is neither nothing nor all unless it is', () => {
  expect(percent(0, 5)).toBe('0 %');
  expect(percent(1, 1e9)).toBe('under 0.1 %');
  expect(percent(999_999, 1_000_000)).toBe('99.9 %');
  expect(percent(5, 5)).toBe('100 %');
});

test('names without their folders', () => {
  expect(baseName('/var/lib/images/base.img')).toBe('base.img');
  expect(baseName('C:\\vm\\disk.vmdk')).toBe('disk.vmdk');
  expect(baseName('https://example.org/a%20b.img?x=1#y')).toBe('a b.img');
  expect(baseName('100%.img')).toBe('100%.img');
});

test('counts and times in words', () => {
  expect(plural(1, 'read')).toBe('1 read');
  expect(plural(2048, 'read')).toBe('2,048 reads');
  expect(ago(0, 30_000)).toBe('1 minute ago');
  expect(ago(0, 3 * 3_600_000)).toBe('3 hours ago');
});

import { describe, expect, test } from 'vitest';
import { BlockError } from '../../src/block/error.ts';
import { parseOptions, parseSize, type OptionSchema } from '../../src/block/options.ts';
import { nestOptions } from '../../src/block/registry.ts';

const schema = {
  size: { type: 'size', help: 'bytes', required: true },
  lazy: { type: 'boolean', help: 'late', default: false },
  mode: { type: 'enum', values: ['off', 'full'], help: 'how' },
  name: { type: 'string', help: 'what' },
} as const satisfies OptionSchema;

describe('parseOptions', () => {
  test('converts and fills in defaults', () => {
    expect(parseOptions(schema, { size: '64k', lazy: 'on', mode: undefined }, 'test')).toEqual({
      size: 65536,
      lazy: true,
    });
    expect(parseOptions(schema, { size: 1 }, 'test')).toEqual({ size: 1, lazy: false });
  });

  test.each([
    [{}, "Option 'size' of test is missing"],
    [{ size: -1 }, "Option 'size' of test must be a size"],
    [{ size: 2 ** 53 }, "Option 'size' of test must be a size"],
    [{ size: 1.5 }, "Option 'size' of test must be a size"],
    [{ size: 1, lazy: 'maybe' }, "'lazy' of test must be true or false"],
    [{ size: 1, mode: 'half' }, 'must be one of off, full'],
    [{ size: 1, name: 5 }, "'name' of test must be text, not 5"],
    [{ size: 1, nmae: 'x' }, "Option 'nmae' is not known to test; its options are: size, lazy, mode, name"],
    [{ size: 1, __proto__x: 1, constructor: 1 }, "Option '__proto__x' is not known"],
    [{ size: 1, constructor: 1 }, "Option 'constructor' is not known"],
  ])('refuses %o', (given, message) => {
    const attempt = () => parseOptions(schema, given, 'test');
    expect(attempt).toThrow(BlockError);
    expect(attempt).toThrow(message);
  });
});

test.each([
  ['512', 512],
  ['1b', 1],
  ['1k', 1024],
  ['1.5K', 1536],
  ['2M', 2 ** 21],
  ['3g', 3 * 2 ** 30],
  ['1T', 2 ** 40],
  ['0x200', 512],
  ['8E', undefined],
  ['', undefined],
  ['k', undefined],
  ['-1', undefined],
  ['1kk', undefined],
  ['1e3', undefined],
  ['1.', 1],
  ['1.0b', 1],
  ['1.5', undefined],
  ['1.5b', undefined],
])('parseSize(%j) is %j', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test('nestOptions turns dotted keys into objects, beside nested ones', () => {
  expect(nestOptions({ driver: 'qcow2', 'file.driver': 'file', file: { filename: 'a' }, 'file.locking.x': 1 })).toEqual(
    {
      driver: 'qcow2',
      file: { driver: 'file', filename: 'a', locking: { x: 1 } },
    },
  );
});

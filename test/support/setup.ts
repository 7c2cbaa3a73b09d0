/** Done before each test file: arrays of bytes are compared as such. One element after the other takes seconds for a disk image. */
import { expect } from 'vitest';
import { equalBytes } from './random.ts';

expect.addEqualityTesters([
  (one: unknown, other: unknown) =>
    one instanceof Uint8Array && other instanceof Uint8Array && one.constructor === other.constructor
      ? equalBytes(one, other)
      : undefined,
]);

import { describe, expect, test } from 'vitest';
import { BlockError } from '../../../src/block/error.ts';
import {
  errorAction,
  type DriveOperation,
  type ErrorAction,
  type WriteErrorPolicy,
} from '../../../src/emulator/v86/policy.ts';

const full = new BlockError('no-space', 'full');
const broken = new BlockError('io', 'broken');

describe('errorAction', () => {
  test.each<[WriteErrorPolicy, unknown, ErrorAction]>([
    ['report', full, 'report'],
    ['ignore', full, 'ignore'],
    ['stop', broken, 'stop'],
    ['enospc', full, 'stop'],
    ['enospc', broken, 'report'],
    ['enospc', new Error('full'), 'report'],
    ['enospc', undefined, 'report'],
  ])('writeError %s', (writeError, error, expected) => {
    for (const operation of ['write', 'flush', 'discard'] satisfies DriveOperation[]) {
      expect(errorAction({ readError: 'ignore', writeError }, operation, error)).toBe(expected);
    }
  });

  test('reads have a policy of their own', () => {
    expect(errorAction({ readError: 'stop', writeError: 'ignore' }, 'read', broken)).toBe('stop');
  });
});

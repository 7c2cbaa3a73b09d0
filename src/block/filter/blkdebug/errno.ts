/** What an injected errno is, as an error of the block layer. Numbers are those of Linux, which blkdebug's rules are written in. */
import { BlockError, type BlockErrorKind } from '../../error.ts';
import type { IoType } from './rules.ts';

const KINDS: Readonly<Record<number, BlockErrorKind>> = {
  1: 'permission',
  2: 'not-found',
  5: 'io',
  13: 'permission',
  16: 'busy',
  17: 'exists',
  22: 'invalid',
  27: 'no-space',
  28: 'no-space',
  30: 'permission',
  95: 'unsupported',
  122: 'no-space',
};

/** @param errno as the rule has it; programs find it in the error's `context.detail` */
export function injectedError(errno: number, type: IoType): BlockError {
  return new BlockError(KINDS[errno] ?? 'io', `blkdebug has let a request of type '${type}' fail with errno ${errno}`, {
    detail: { errno },
  });
}

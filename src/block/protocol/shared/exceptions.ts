/** What the browser's exceptions mean, as errors of the block layer. */
import { BlockError, type BlockErrorKind } from '../../error.ts';
import { busyError, exceptionName, messageOf, noSpaceError, notFoundError, type RequestPlace } from './errors.ts';

const PLAIN: Readonly<Record<string, { readonly kind: BlockErrorKind; readonly message: string }>> = {
  TypeMismatchError: {
    kind: 'invalid',
    message: 'There is a folder where a file is meant, or a file where a folder is',
  },
  InvalidStateError: { kind: 'io', message: 'The browser has taken the file away: close it and open it again' },
  SecurityError: {
    kind: 'permission',
    message: 'The browser does not let this page store files: leave private mode, or allow site data',
  },
  NotAllowedError: { kind: 'permission', message: 'The browser does not allow it' },
};

/**
 * Turns what a browser's storage threw into a BlockError; one that is a BlockError already stays as it is.
 *
 * @param place driver, file, and where the request was
 */
export function fromException(error: unknown, place: RequestPlace): BlockError {
  if (error instanceof BlockError) return error;
  const { driver, filename } = place;
  const name = exceptionName(error);
  if (name === 'NotFoundError') return notFoundError(driver, filename, 'check the name, or create it first', error);
  if (name === 'QuotaExceededError') return noSpaceError(place, error, QUOTA_HINT);
  if (name === 'NoModificationAllowedError')
    return busyError(driver, filename, 'another tab, worker or download of this site');
  const plain = PLAIN[name];
  if (plain !== undefined) return new BlockError(plain.kind, plain.message, place, { cause: error });
  return new BlockError('io', `The storage failed: ${messageOf(error)}`, place, { cause: error });
}

export const QUOTA_HINT =
  "the browser's quota for this site is used up: delete disks, or allow the site persistent storage";

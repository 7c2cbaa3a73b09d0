/** What Node's system errors mean, as errors of the block layer. */
import { BlockError, type BlockErrorKind } from '../../error.ts';
import { messageOf, noSpaceError, type RequestPlace } from '../shared/errors.ts';

const MEANINGS: Readonly<Record<string, { readonly kind: BlockErrorKind; readonly message: string }>> = {
  ENOENT: { kind: 'not-found', message: 'There is no such file: check the name, or create it first' },
  ENOTDIR: { kind: 'not-found', message: 'There is no such file: a part of the path is not a folder' },
  EACCES: { kind: 'permission', message: 'The operating system does not allow it: check the permissions of the file' },
  EPERM: { kind: 'permission', message: 'The operating system does not allow it' },
  EROFS: { kind: 'permission', message: 'The file system is read-only' },
  ETXTBSY: { kind: 'busy', message: 'The file is being run as a program' },
  EBUSY: { kind: 'busy', message: 'The file is in use' },
  EISDIR: { kind: 'invalid', message: 'It is a folder, not a file' },
  ENAMETOOLONG: { kind: 'invalid', message: 'The name is too long' },
  ELOOP: { kind: 'invalid', message: 'There are too many symbolic links in the path' },
  EFBIG: { kind: 'no-space', message: 'The file would be larger than its file system allows' },
};

const FULL: readonly string[] = ['ENOSPC', 'EDQUOT'];

/** @param place driver, file, and where the request was */
export function fromSystemError(error: unknown, place: RequestPlace): BlockError {
  if (error instanceof BlockError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (FULL.includes(code)) return noSpaceError(place, error, 'free some on the disk that holds the file');
  const meaning = MEANINGS[code];
  if (meaning !== undefined) return new BlockError(meaning.kind, meaning.message, place, { cause: error });
  return new BlockError('io', `The file cannot be used: ${messageOf(error)}`, place, { cause: error });
}

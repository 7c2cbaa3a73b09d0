/** Errors that every protocol driver has, in the same words. */
import { BlockError, type BlockErrorContext } from '../../error.ts';

/** A request to a storage that was closed. */
export function closedError(driver: string, filename: string): BlockError {
  return new BlockError('closed', 'The storage was closed: open it again', { driver, filename });
}

/** A request that changes something that was opened read-only. */
export function readOnlyError(driver: string, filename: string, op: string): BlockError {
  return new BlockError('permission', `Cannot ${op}: it was opened read-only`, { driver, filename, op });
}

/** Something that a read-only protocol was asked to open for writing. */
export function readOnlyProtocolError(driver: string, filename: string): BlockError {
  const message = `The '${driver}' protocol cannot write: open it with 'read-only', and put an overlay on top to change its content`;
  return new BlockError('permission', message, { driver, filename });
}

export function notFoundError(driver: string, filename: string, hint: string, cause?: unknown): BlockError {
  return new BlockError('not-found', `There is no such file: ${hint}`, { driver, filename }, { cause });
}

/** @param holder who has it open, in words, where that is known. */
export function busyError(
  driver: string,
  filename: string,
  holder: string,
  detail?: Readonly<Record<string, unknown>>,
): BlockError {
  const message = `It is in use by ${holder}: close it there first, or open it read-only on both sides`;
  return new BlockError('busy', message, { driver, filename, ...(detail === undefined ? {} : { detail }) });
}

/** Options that a driver cannot work with. */
export function invalidOption(driver: string, option: string, wanted: string): BlockError {
  return new BlockError('invalid', `Option '${option}' of driver '${driver}' must be ${wanted}`, { driver });
}

export interface RequestPlace {
  readonly driver: string;
  readonly filename: string;
  readonly op?: string;
  readonly offset?: number;
  readonly length?: number;
}

/** @param what what does not fit and what to do, a sentence. */
export function noSpaceError(place: RequestPlace, cause: unknown, hint: string): BlockError {
  const context: BlockErrorContext = place;
  return new BlockError('no-space', `There is no room left: ${hint}`, context, { cause });
}

/** The name of an exception of the platform, such as `QuotaExceededError`; '' for anything else. */
export function exceptionName(error: unknown): string {
  return typeof error === 'object' && error !== null && 'name' in error ? String(error.name) : '';
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

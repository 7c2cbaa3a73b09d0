/** One clear error for each thing that goes wrong between a page and a server of disk images. */
import type { StorageIdentity } from '../../driver.ts';
import { BlockError, type BlockErrorKind } from '../../error.ts';
import { messageOf } from '../shared/errors.ts';

/** Where a request went, for messages. */
export interface HttpPlace {
  readonly filename: string;
  readonly offset?: number;
  readonly length?: number;
}

function httpError(
  kind: BlockErrorKind,
  message: string,
  place: HttpPlace,
  cause?: unknown,
  detail?: Readonly<Record<string, unknown>>,
): BlockError {
  const { filename, offset, length } = place;
  const context = {
    driver: 'http',
    filename,
    op: 'read',
    ...(offset === undefined ? {} : { offset }),
    ...(length === undefined ? {} : { length }),
    ...(detail === undefined ? {} : { detail }),
  };
  return new BlockError(kind, message, context, { cause });
}

/** An answer whose status says that there is nothing to be had. */
export function statusError(status: number, place: HttpPlace): BlockError {
  const detail = { status };
  if (status === 404 || status === 410)
    return httpError(
      'not-found',
      `The server has no such file (status ${status}): check the URL`,
      place,
      undefined,
      detail,
    );
  if (status === 401 || status === 403) {
    const message = `The server does not let us read the file (status ${status}): give 'headers' with an authorization, or 'credentials'`;
    return httpError('permission', message, place, undefined, detail);
  }
  return httpError('io', `The server answered with status ${status}`, place, undefined, detail);
}

/** fetch rejected: a dead connection, or a browser that will not say why. */
export function networkError(cause: unknown, place: HttpPlace, crossSite: boolean): BlockError {
  const hint = crossSite
    ? '; if it is reachable, that other site must allow this page to read it (Access-Control-Allow-Origin, and Cross-Origin-Resource-Policy or CORS on isolated pages), and a page on https cannot read from http'
    : '';
  return httpError(
    'io',
    `The server was not reached or the connection died (${messageOf(cause)})${hint}`,
    place,
    cause,
    { unreachable: true },
  );
}

export function timeoutError(seconds: number, place: HttpPlace): BlockError {
  return httpError(
    'io',
    `The server sent nothing for ${seconds} seconds: see whether it is up, or raise 'timeout'`,
    place,
  );
}

export function shortBodyError(expected: number, got: number, place: HttpPlace, cause?: unknown): BlockError {
  return httpError('io', `The connection ended after ${got} of ${expected} bytes`, place, cause);
}

export function longBodyError(expected: number, place: HttpPlace): BlockError {
  return httpError(
    'io',
    `The server sent more than the ${expected} bytes that it announced or that were asked for`,
    place,
  );
}

export function rangesIgnoredError(limit: number, place: HttpPlace): BlockError {
  const message = `The server ignores ranges (it answers 200 to a range request), and the file is larger than ${limit} bytes, which is as much as is taken in one piece: use a server that supports ranges, or download the file and open it from there`;
  return httpError('unsupported', message, place);
}

export function rangesGoneError(status: number, place: HttpPlace): BlockError {
  return httpError(
    'io',
    `The server answered a range request with status ${status}, after it had answered others with 206`,
    place,
  );
}

export function unsatisfiableError(total: number | undefined, place: HttpPlace): BlockError {
  const size = total === undefined ? '' : `, and says that the file has ${total} bytes`;
  return httpError(
    'unsupported',
    `The server refuses a range that lies in the file (status 416)${size}: it does not support ranges as it should`,
    place,
  );
}

export function compressedError(encoding: string, place: HttpPlace): BlockError {
  const message = `The server compresses what it sends (Content-Encoding: ${encoding}), so that ranges are not of the file itself: switch compression off for disk images`;
  return httpError('unsupported', message, place);
}

export function wrongRangeError(header: string | null, place: HttpPlace): BlockError {
  const message = `The server sent another part than the one asked for (Content-Range: ${header ?? 'none'})`;
  return httpError('unsupported', `${message}: it does not support ranges as it should`, place);
}

export function noSizeError(place: HttpPlace): BlockError {
  const message =
    "The server does not tell the file's size: it must send Content-Range with a total, and on another site list it in Access-Control-Expose-Headers, or answer HEAD with Content-Length";
  return httpError('unsupported', message, place);
}

/** The file on the server is not the one that was opened. */
export function changedError(
  what: string,
  opened: StorageIdentity,
  found: Readonly<Record<string, unknown>>,
  place: HttpPlace,
): BlockError {
  const message = `The file on the server was changed while it was in use: ${what}; close the disk and open it again`;
  return httpError('base-changed', message, place, undefined, { opened: { ...opened }, found });
}

/** Whether an error says that no answer came at all. */
export function isUnreachable(error: unknown): error is BlockError {
  return error instanceof BlockError && error.context.detail?.['unreachable'] === true;
}

/** The server answers, but a browser that asks for a range sees nothing of the answer. */
export function rangesBlockedError(failure: BlockError, place: HttpPlace): BlockError {
  const message =
    'The server answers plain requests, but the browser accepts none of its answers to range requests: it may compress them, or not allow them to pages of other sites';
  return httpError('unsupported', message, place, failure);
}

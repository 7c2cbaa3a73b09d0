/** A file on a server, as its answers to range requests show it. */
import type { StorageIdentity } from '../../driver.ts';
import type { BlockError } from '../../error.ts';
import {
  changedError,
  compressedError,
  isUnreachable,
  noSizeError,
  rangesBlockedError,
  rangesGoneError,
  rangesIgnoredError,
  shortBodyError,
  statusError,
  unsatisfiableError,
  wrongRangeError,
  type HttpPlace,
} from './errors.ts';
import {
  difference,
  parseContentLength,
  parseContentRange,
  parseUnsatisfiedTotal,
  seenVersion,
  toIdentity,
  type SeenVersion,
} from './identity.ts';
import { Retriable, type Answer, type Requester } from './requester.ts';

type Requests = Pick<Requester, 'request'>;

/** What a server that ignores ranges sends is taken whole up to this many bytes. */
export const MAX_WHOLE_BYTES = 64 * 1024 * 1024;

export interface FirstLook {
  readonly identity: StorageIdentity;
  /** The bytes from the start on: the first chunk, or the whole file when the server does not do ranges. */
  readonly start: Uint8Array;
  readonly whole: boolean;
}

interface SizelessLook {
  readonly seen: SeenVersion;
  readonly start: Uint8Array;
}

/**
 * Asks for the first chunk, which in most cases tells all there is to know in one request.
 *
 * @param retries how often a request that fails is made again
 * @throws BlockError `not-found`, `permission`, `unsupported` when the server cannot serve parts of files, `io`
 */
export async function lookAt(
  requester: Requester,
  chunkBytes: number,
  retries: number = requester.options.retries,
): Promise<FirstLook> {
  try {
    return await firstLook(requester.withRetries(retries), chunkBytes);
  } catch (error) {
    throw isUnreachable(error) ? await explained(requester.withRetries(0), error) : error;
  }
}

/** Browsers do not say why a request failed; an answer to a plain one narrows it down. */
async function explained(requester: Requests, failure: BlockError): Promise<BlockError> {
  try {
    return await requester.request('HEAD', undefined, ({ response }, place) => {
      // Chromium drops a compressed answer to a range request as if there had been none.
      const encoding = response.headers.get('Content-Encoding');
      return Promise.resolve(encoding === null ? rangesBlockedError(failure, place) : compressedError(encoding, place));
    });
  } catch {
    // It does not answer at all, so the first failure says what there is to say.
    return failure;
  }
}

async function firstLook(requester: Requests, chunkBytes: number): Promise<FirstLook> {
  const look = await requester.request('GET', { first: 0, last: chunkBytes - 1 }, async (answer, place) => {
    const { status } = answer.response;
    if (status === 206) return firstPart(answer, chunkBytes, place);
    if (status === 200) return wholeFile(answer, place);
    if (status === 416) return emptyFile(answer, place);
    throw statusError(status, place);
  });
  return 'identity' in look ? look : withSizeFromHead(requester, look, chunkBytes);
}

/**
 * Fetches a part of the file that was looked at.
 *
 * @throws BlockError `base-changed` when the answer is of another version, `unsupported`, `io`
 */
export function fetchPart(
  requester: Requests,
  identity: StorageIdentity,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const range = { first: offset, last: offset + length - 1 };
  return requester.request('GET', range, async (answer, place) => {
    const { status, headers } = answer.response;
    if (status === 416) throw refusedPart(headers, identity, place);
    refuseCompressed(headers, place);
    const sent = parseContentRange(headers.get('Content-Range'));
    const total = status === 200 ? parseContentLength(headers.get('Content-Length')) : sent?.total;
    refuseChanged(identity, seenVersion(headers, total), place);
    if (status !== 206) throw rangesGoneError(status, place);
    // A page on another site may not see the header; then the number of bytes must do.
    const visible = headers.get('Content-Range');
    if (visible !== null && (sent?.first !== range.first || sent.last !== range.last))
      throw wrongRangeError(visible, place);
    return answer.body(length);
  });
}

async function firstPart(answer: Answer, chunkBytes: number, place: HttpPlace): Promise<FirstLook | SizelessLook> {
  const { headers } = answer.response;
  refuseCompressed(headers, place);
  const header = headers.get('Content-Range');
  const sent = parseContentRange(header);
  if (header !== null && (sent === undefined || sent.first !== 0)) throw wrongRangeError(header, place);
  const seen = seenVersion(headers, sent?.total);
  if (sent?.total === undefined) {
    const start = await answer.bodyUpTo(chunkBytes);
    if (start === undefined) throw wrongRangeError(header, place);
    return { seen, start };
  }
  const expected = Math.min(chunkBytes, sent.total);
  if (sent.last !== expected - 1) throw wrongRangeError(header, place);
  return { identity: toIdentity(seen, sent.total), start: await answer.body(expected), whole: false };
}

/** The server does not do ranges: a small file is taken as it comes. */
async function wholeFile(answer: Answer, place: HttpPlace): Promise<FirstLook> {
  const { headers } = answer.response;
  refuseCompressed(headers, place);
  const announced = parseContentLength(headers.get('Content-Length'));
  if (announced !== undefined && announced > MAX_WHOLE_BYTES) throw rangesIgnoredError(MAX_WHOLE_BYTES, place);
  const bytes = await answer.bodyUpTo(MAX_WHOLE_BYTES);
  if (bytes === undefined) throw rangesIgnoredError(MAX_WHOLE_BYTES, place);
  if (announced !== undefined && bytes.length < announced) {
    throw new Retriable(shortBodyError(announced, bytes.length, place));
  }
  return { identity: toIdentity(seenVersion(headers, bytes.length), bytes.length), start: bytes, whole: true };
}

/** No range lies in an empty file, so its server must answer 416. */
function emptyFile(answer: Answer, place: HttpPlace): FirstLook {
  const { headers } = answer.response;
  const total = parseUnsatisfiedTotal(headers.get('Content-Range'));
  if (total !== 0) throw unsatisfiableError(total, place);
  return { identity: toIdentity(seenVersion(headers, 0), 0), start: new Uint8Array(0), whole: true };
}

/** Content-Length may be read across sites where Content-Range may not. */
async function withSizeFromHead(requester: Requests, look: SizelessLook, chunkBytes: number): Promise<FirstLook> {
  const { seen, start } = look;
  const { identity, place } = await requester.request('HEAD', undefined, ({ response }, at) => {
    const size = parseContentLength(response.headers.get('Content-Length'));
    const compressed = response.headers.has('Content-Encoding');
    if (response.status !== 200 || size === undefined || compressed) throw noSizeError(at);
    return Promise.resolve({ identity: toIdentity(seenVersion(response.headers, size), size), place: at });
  });
  refuseChanged(identity, seen, place);
  const expected = Math.min(identity.size, chunkBytes);
  if (start.length !== expected) throw shortBodyError(expected, start.length, place);
  return { identity, start, whole: false };
}

function refuseCompressed(headers: Headers, place: HttpPlace): void {
  const encoding = headers.get('Content-Encoding');
  if (encoding !== null && encoding !== '' && encoding.toLowerCase() !== 'identity')
    throw compressedError(encoding, place);
}

function refuseChanged(identity: StorageIdentity, seen: SeenVersion, place: HttpPlace): void {
  const what = difference(identity, seen);
  if (what !== undefined) throw changedError(what, identity, { ...seen }, place);
}

function refusedPart(headers: Headers, identity: StorageIdentity, place: HttpPlace): BlockError {
  const total = parseUnsatisfiedTotal(headers.get('Content-Range'));
  const what = difference(identity, seenVersion(headers, total));
  return what === undefined ? unsatisfiableError(total, place) : changedError(what, identity, { size: total }, place);
}

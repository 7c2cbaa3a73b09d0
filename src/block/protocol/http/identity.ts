/** What the headers of an answer say about which version of a file it is of. */
import type { StorageIdentity } from '../../driver.ts';

/** What one answer tells; a header that is missing or not readable for this page is undefined. */
export interface SeenVersion {
  readonly size: number | undefined;
  readonly etag: string | undefined;
  readonly lastModifiedMs: number | undefined;
}

export interface ContentRange {
  readonly first: number;
  readonly last: number;
  /** Bytes of the whole file; undefined when the server does not say. */
  readonly total: number | undefined;
}

/** Reads `bytes 0-99/1000`. @returns undefined when there is no such header or it is malformed. RFC 9110, 14.4 */
export function parseContentRange(header: string | null): ContentRange | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(header?.trim() ?? '');
  if (match === null) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2])];
  const total = match[3] === '*' ? undefined : Number(match[3]);
  const sane =
    Number.isSafeInteger(last) &&
    first <= last &&
    (total === undefined || (Number.isSafeInteger(total) && last < total));
  return sane ? { first, last, total } : undefined;
}

/** The total of `bytes * /1000`, which comes with status 416. RFC 9110, 15.5.17 */
export function parseUnsatisfiedTotal(header: string | null): number | undefined {
  const match = /^bytes \*\/(\d+)$/i.exec(header?.trim() ?? '');
  return match === null ? undefined : toSize(match[1]);
}

export function parseContentLength(header: string | null): number | undefined {
  return header !== null && /^\d+$/.test(header) ? toSize(header) : undefined;
}

function toSize(digits: string | undefined): number | undefined {
  const size = Number(digits);
  return Number.isSafeInteger(size) ? size : undefined;
}

/** A weak entity tag says nothing about bytes, so it counts as none. RFC 9110, 8.8.1 */
export function seenVersion(headers: Headers, size: number | undefined): SeenVersion {
  const etag = headers.get('ETag') ?? undefined;
  const modified = Date.parse(headers.get('Last-Modified') ?? '');
  return {
    size,
    etag: etag !== undefined && /^"[^"]*"$/.test(etag) ? etag : undefined,
    lastModifiedMs: Number.isNaN(modified) ? undefined : modified,
  };
}

/** @param seen of an answer that told the size */
export function toIdentity(seen: SeenVersion, size: number): StorageIdentity {
  return {
    size,
    ...(seen.etag === undefined ? {} : { etag: seen.etag }),
    ...(seen.lastModifiedMs === undefined ? {} : { lastModifiedMs: seen.lastModifiedMs }),
  };
}

/**
 * What differs between the version that was opened and the one that an answer is of. What one of them does not tell is not
 * compared.
 *
 * @returns words for a message, or undefined when nothing differs
 */
export function difference(opened: StorageIdentity, seen: SeenVersion): string | undefined {
  if (seen.size !== undefined && seen.size !== opened.size)
    return `it had ${opened.size} bytes and has ${seen.size} now`;
  if (opened.etag !== undefined && seen.etag !== undefined && opened.etag !== seen.etag) {
    return `its ETag was ${opened.etag} and is ${seen.etag} now`;
  }
  if (
    opened.lastModifiedMs !== undefined &&
    seen.lastModifiedMs !== undefined &&
    opened.lastModifiedMs !== seen.lastModifiedMs
  ) {
    return `it was of ${iso(opened.lastModifiedMs)} and is of ${iso(seen.lastModifiedMs)} now`;
  }
  return undefined;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

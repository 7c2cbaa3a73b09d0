import { BlockError } from '../../error.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { invalidOption } from '../shared/errors.ts';
import type { RequesterOptions } from './requester.ts';

export const MIN_CHUNK_BYTES = 4096;
export const MAX_CHUNK_BYTES = 16 * 1024 * 1024;

export const httpSchema = {
  url: { type: 'string', required: true, help: 'Where the file is; relative to the page or worker that opens it' },
  chunk_size: { type: 'size', default: 262144, help: 'Bytes that are fetched and cached as one, a power of two' },
  cache_size: { type: 'size', default: 33554432, help: 'Bytes of chunks that stay in memory' },
  readahead: {
    type: 'size',
    help: 'Bytes to fetch ahead of sequential reads, 0 for none; not given, it grows from 1 to 4 MiB',
  },
  retries: { type: 'number', default: 4, help: 'How often a request that failed is made again' },
  timeout: { type: 'number', default: 30, help: 'Seconds without a byte after which a request has failed' },
  headers: { type: 'object', help: 'Request headers by name, such as Authorization' },
  credentials: {
    type: 'enum',
    values: ['omit', 'same-origin', 'include'],
    default: 'same-origin',
    help: 'Whether cookies are sent along',
  },
  keep: {
    type: 'string',
    help: "Folder in the browser's file system where fetched chunks are kept for the next visit, online or not",
  },
} as const satisfies OptionSchema;

export type HttpOptions = OptionValues<typeof httpSchema>;

/**
 * The URL in full.
 *
 * @param base where a relative one starts from; undefined where there is no page
 * @throws BlockError `invalid` for what is no http URL, or one with a password in it
 */
export function absoluteUrl(url: string, base: string | undefined): URL {
  let parsed: URL;
  try {
    parsed = new URL(url, base);
  } catch (cause) {
    const message = `'${url}' is no URL${base === undefined ? ', or a relative one where there is no page it could be relative to' : ''}`;
    throw new BlockError('invalid', message, { driver: 'http' }, { cause });
  }
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')
    throw invalidOption('http', 'url', 'an http or https URL');
  if (parsed.username !== '' || parsed.password !== '') {
    throw invalidOption('http', 'url', "without a name and a password: give an Authorization in 'headers' instead");
  }
  return parsed;
}

/** The URL as it may be shown: without what could be a secret in it. */
export function shownUrl(url: string): string {
  return url.replace(/^([a-z]+:\/\/)[^/?#]*@/i, '$1').replace(/[?#].*$/s, '');
}

/** @throws BlockError `invalid` */
export function requesterOptions(options: HttpOptions, url: URL): RequesterOptions {
  return {
    url: url.href,
    filename: shownUrl(url.href),
    headers: checkedHeaders(options.headers ?? {}),
    credentials: options.credentials,
    retries: options.retries,
    timeout: Math.max(1, options.timeout),
  };
}

/** @throws BlockError `invalid` */
export function checkedChunkSize(size: number): number {
  const isPowerOfTwo = Number.isInteger(Math.log2(size));
  if (isPowerOfTwo && size >= MIN_CHUNK_BYTES && size <= MAX_CHUNK_BYTES) return size;
  throw invalidOption('http', 'chunk_size', `a power of two from ${MIN_CHUNK_BYTES} to ${MAX_CHUNK_BYTES}`);
}

function checkedHeaders(headers: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const checked: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string') throw invalidOption('http', 'headers', `texts by name; '${name}' is not a text`);
    if (name.toLowerCase() === 'range') throw invalidOption('http', 'headers', 'without Range, which the driver sets');
    checked[name] = value;
  }
  return checked;
}

/** Where relative URLs start. A worker that was made from a blob has its page's origin all the same. */
export function pageUrl(): string | undefined {
  const here = (globalThis as { readonly location?: { readonly href: string; readonly origin: string } }).location;
  return here?.href.startsWith('blob:') === true ? here.origin : here?.href;
}

import type { OpenFlags, ProtocolDriver, Storage } from '../../driver.ts';
import { readOnlyProtocolError } from '../shared/errors.ts';
import { realEnvironment, type HttpEnvironment } from './environment.ts';
import { absoluteUrl, checkedChunkSize, httpSchema, requesterOptions, shownUrl, type HttpOptions } from './options.ts';
import { lookAt } from './remote-file.ts';
import { Requester } from './requester.ts';
import { HttpStorage } from './storage.ts';

export type HttpDriver = ProtocolDriver<typeof httpSchema>;

/**
 * Makes an http driver.
 *
 * @param name `https` for the one that people name for https URLs; both open both
 * @param environment what it uses for requests and time
 */
export function createHttpProtocol(name: 'http' | 'https', environment: HttpEnvironment = realEnvironment): HttpDriver {
  return {
    kind: 'protocol',
    name,
    options: httpSchema,
    isAvailable: () => typeof fetch === 'function',
    parseFilename: (filename) =>
      filename.toLowerCase().startsWith(`${name}://`) ? { driver: name, url: filename } : undefined,
    filename: ({ url }) => shownUrl(url),
    resolve: (options, reference) => resolveReference(options, reference),
    open: (options, flags) => openHttp(options, flags, environment),
  };
}

/** Files on web servers that answer range requests. */
export const httpProtocol: HttpDriver = /* @__PURE__ */ createHttpProtocol('http');
export const httpsProtocol: HttpDriver = /* @__PURE__ */ createHttpProtocol('https');

async function openHttp(options: HttpOptions, flags: OpenFlags, environment: HttpEnvironment): Promise<Storage> {
  const url = absoluteUrl(options.url, pageUrl());
  if (!flags.readOnly) throw readOnlyProtocolError('http', shownUrl(url.href));
  const chunkBytes = checkedChunkSize(options.chunk_size);
  const requester = new Requester(requesterOptions(options, url), environment);
  const look = await lookAt(requester, chunkBytes);
  const cacheBytes = look.whole ? Number.POSITIVE_INFINITY : options.cache_size;
  const storage = new HttpStorage(
    requester,
    { chunkBytes, cacheBytes, readAhead: options.readahead },
    look.identity,
    undefined,
  );
  storage.seed(look, chunkBytes);
  return storage;
}

/** Headers and cookies go along only to the server that they were meant for. */
function resolveReference(options: HttpOptions, reference: string) {
  const from = absoluteUrl(options.url, pageUrl());
  const to = absoluteUrl(reference, from.href);
  const driver = to.protocol === 'https:' ? 'https' : 'http';
  if (to.origin !== from.origin) return { driver, url: to.href };
  const { headers, credentials } = options;
  return {
    driver,
    url: to.href,
    ...(headers === undefined ? {} : { headers }),
    ...(credentials === undefined ? {} : { credentials }),
  };
}

/** Where relative URLs start. A worker that was made from a blob has its page's origin all the same. */
function pageUrl(): string | undefined {
  const here = (globalThis as { readonly location?: { readonly href: string; readonly origin: string } }).location;
  return here?.href.startsWith('blob:') === true ? here.origin : here?.href;
}

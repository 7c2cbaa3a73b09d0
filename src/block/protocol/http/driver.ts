import type { ProtocolDriver } from '../../driver.ts';
import { realEnvironment, type HttpEnvironment } from './environment.ts';
import { openHttp } from './open.ts';
import { absoluteUrl, httpSchema, pageUrl, shownUrl, type HttpOptions } from './options.ts';

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

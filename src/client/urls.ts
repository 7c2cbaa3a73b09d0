/** Relative URLs in options mean what they mean on the page; the worker's script may lie elsewhere. */

const HTTP_DRIVERS: ReadonlySet<unknown> = new Set(['http', 'https']);

/** The same options with the `url` of every `http` and `https` node made absolute. */
export function withAbsoluteUrls<T>(options: T, base: string = document.baseURI): T {
  if (!isPlainObject(options)) return options;
  const absolute = Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, withAbsoluteUrls(value, base)]),
  );
  const { driver, url } = absolute;
  if (HTTP_DRIVERS.has(driver) && typeof url === 'string' && URL.canParse(url, base)) {
    absolute['url'] = new URL(url, base).href;
  }
  return absolute as T;
}

/** Not a Blob, a buffer or another object that goes to the worker as it is. */
function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

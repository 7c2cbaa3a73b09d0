/** Formats that nobody has named, inside options: the tools find them out before they open anything for writing. */
import type { BlockdevOptions } from '../../node/index.ts';

/**
 * Gives the image that `blkverify` tests a driver where only its name was given.
 *
 * @param identify makes a name into options with a driver
 */
export async function withTestedFormat(
  options: BlockdevOptions,
  identify: (filename: string) => Promise<BlockdevOptions>,
): Promise<BlockdevOptions> {
  const { test, file } = options;
  if (options.driver === 'blkverify' && isNameAlone(test)) return { ...options, test: await identify(test.filename) };
  if (typeof file !== 'object' || file === null) return options;
  return { ...options, file: await withTestedFormat(file as BlockdevOptions, identify) };
}

function isNameAlone(value: unknown): value is { readonly filename: string } {
  if (typeof value !== 'object' || value === null) return false;
  const { driver, filename } = value as { readonly driver?: unknown; readonly filename?: unknown };
  return driver === undefined && typeof filename === 'string';
}

/** The name that an image has in what is printed, where a path alone does not say which disk it is. */
import type { BlockdevOptions } from '../../node/index.ts';

/** In the order in which QEMU prints them. */
const RAW_MEMBERS = ['offset', 'driver', 'size', 'file'] as const;

/**
 * The `json:` name of a window of a raw file, and of a null-co disk with a size: options that change what the disk holds. Values are
 * printed as they were given. QEMU: bdrv_refresh_filename.
 *
 * @returns undefined where the name of the file says it all
 */
export function jsonName(options: BlockdevOptions): string | undefined {
  const { driver, size, offset, file } = options;
  if (driver === 'null-co' && size !== undefined) return `json:${oneLine({ driver, size })}`;
  if (driver !== 'raw' || (size === undefined && offset === undefined)) return undefined;
  if (typeof file !== 'object' || file === null) return undefined;
  const { driver: protocol, filename } = file as BlockdevOptions;
  if (protocol === undefined || filename === undefined) return undefined;
  const values: Readonly<Record<string, unknown>> = { offset, driver, size, file: { driver: protocol, filename } };
  const members = RAW_MEMBERS.filter((name) => values[name] !== undefined).map((name) => [name, values[name]]);
  return `json:${oneLine(Object.fromEntries(members) as object)}`;
}

function oneLine(value: object): string {
  const members = Object.entries(value).map(([name, member]: [string, unknown]) => {
    const text = typeof member === 'object' && member !== null ? oneLine(member) : JSON.stringify(member);
    return `${JSON.stringify(name)}: ${text}`;
  });
  return `{${members.join(', ')}}`;
}

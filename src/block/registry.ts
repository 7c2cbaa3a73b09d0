import type { CompressionSet } from './compression.ts';
import type { BlockDriver, BlockdevOptions, FilterDriver, FormatDriver, ProtocolDriver } from './driver.ts';
import { BlockError } from './error.ts';

/** The drivers that a graph may use: one array per kind, looked up by QEMU's names. */
export interface DriverSet {
  readonly protocols: readonly ProtocolDriver[];
  readonly formats: readonly FormatDriver[];
  readonly filters: readonly FilterDriver[];
  /** The protocol of names without a prefix: `file` in Node, `opfs` in a worker. */
  readonly defaultProtocol: string;
  /** Default: what needs nothing of its environment. */
  readonly compression?: CompressionSet;
}

/** @throws BlockError `unsupported` for a name that no driver has; the message lists those there are */
export function findDriver(drivers: DriverSet, name: string): BlockDriver {
  const all = allDrivers(drivers);
  const found = all.find((driver) => driver.name === name);
  if (found !== undefined) return found;
  throw new BlockError('unsupported', `There is no driver '${name}'; there are ${all.map((d) => d.name).join(', ')}`);
}

/** @throws BlockError `unsupported` unless the name is that of a format */
export function findFormat(drivers: DriverSet, name: string): FormatDriver {
  const driver = drivers.formats.find((format) => format.name === name);
  if (driver !== undefined) return driver;
  const known = drivers.formats.map((format) => format.name).join(', ');
  throw new BlockError('unsupported', `There is no format '${name}'; there are ${known}`);
}

/** @throws BlockError `unsupported` unless the name is that of a protocol */
export function findProtocol(drivers: DriverSet, name: string): ProtocolDriver {
  const driver = drivers.protocols.find((protocol) => protocol.name === name);
  if (driver !== undefined) return driver;
  const known = drivers.protocols.map((protocol) => protocol.name).join(', ');
  throw new BlockError('unsupported', `There is no protocol '${name}'; there are ${known}`);
}

function allDrivers(drivers: DriverSet): readonly BlockDriver[] {
  return [...drivers.formats, ...drivers.protocols, ...drivers.filters];
}

/**
 * What a name stands for: `json:{…}`, a prefixed name (`http://…`, `opfs:…`), or a path of the default protocol.
 *
 * @returns options of a protocol node, or for `json:` of whatever it describes
 * @throws BlockError `invalid` for malformed `json:`
 */
export function parseFilename(drivers: DriverSet, filename: string): BlockdevOptions {
  if (filename.startsWith('json:')) return parseJsonName(filename);
  for (const protocol of drivers.protocols) {
    const options = protocol.parseFilename?.(filename);
    if (options !== undefined) return options;
  }
  for (const filter of drivers.filters) {
    const options = filter.parseFilename?.(filename);
    if (options !== undefined) return options;
  }
  const prefix = /^([a-z][a-z0-9+.-]{1,31}):/i.exec(filename)?.[1];
  if (prefix !== undefined && !filename.startsWith('./')) {
    throw new BlockError('unsupported', `Unknown protocol '${prefix}' in the name '${filename}'`, { filename });
  }
  return (
    findProtocol(drivers, drivers.defaultProtocol).resolve?.({}, filename) ?? {
      driver: drivers.defaultProtocol,
      path: filename,
    }
  );
}

function parseJsonName(filename: string): BlockdevOptions {
  let value: unknown;
  try {
    value = JSON.parse(filename.slice('json:'.length));
  } catch (cause) {
    throw new BlockError('invalid', `The name '${filename}' is not valid JSON after 'json:'`, { filename }, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BlockError('invalid', `The name '${filename}' must hold an object after 'json:'`, { filename });
  }
  return nestOptions(value as Readonly<Record<string, unknown>>);
}

/** Turns dotted keys into nested objects, as QEMU's option syntax has them: `file.driver` is `driver` of `file`. */
export function nestOptions(flat: Readonly<Record<string, unknown>>): BlockdevOptions {
  const nested: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of Object.entries(flat)) {
    const plain = isOptions(value) ? nestOptions(value) : value;
    const dot = key.indexOf('.');
    if (dot <= 0) nested[key] = merge(nested[key], plain);
    else nested[key.slice(0, dot)] = merge(nested[key.slice(0, dot)], nestOptions({ [key.slice(dot + 1)]: plain }));
  }
  return { ...nested };
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** What was added last wins where both say something; objects are joined key by key, however deep. */
function merge(present: unknown, added: unknown): unknown {
  if (!isOptions(present) || !isOptions(added)) return added;
  const joined = Object.assign(Object.create(null) as Record<string, unknown>, present);
  for (const [key, value] of Object.entries(added)) {
    joined[key] = Object.hasOwn(joined, key) ? merge(joined[key], value) : value;
  }
  return { ...joined };
}

function isOptions(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && isPlain(value);
}

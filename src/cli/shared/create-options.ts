/** `-o`: the options of a new image, checked against what its format takes, in qemu-img's words. */
import type { DriverSet, FormatDriver, OptionSchema, OptionSpec } from '../../node/index.ts';
import { parseSize } from '../../node/index.ts';
import { Failure } from './failure.ts';
import { parseKeyValues } from './key-values.ts';

export type CreateValues = Record<string, string | number>;

/** @throws Failure `Unknown file format '…'` */
export function formatNamed(drivers: DriverSet, name: string): FormatDriver {
  const format = drivers.formats.find((driver) => driver.name === name);
  if (format === undefined) throw new Failure(`Unknown file format '${name}'`);
  return format;
}

/** Joins all `-o`, checks names and types. @throws Failure */
export function createValues(schema: OptionSchema, texts: readonly string[]): CreateValues {
  const values: CreateValues = {};
  for (const [name, text] of texts.flatMap((given) => Object.entries(parseKeyValues(given)))) {
    const spec = Object.hasOwn(schema, name) ? schema[name] : undefined;
    if (spec === undefined) throw new Failure(`Invalid parameter '${name}'`);
    values[name] = readValue(spec, name, text);
  }
  return values;
}

function readValue(spec: OptionSpec, name: string, text: string): string | number {
  if (spec.type === 'boolean' && text !== 'on' && text !== 'off') {
    throw new Failure(`Parameter '${name}' expects 'on' or 'off'`);
  }
  if (spec.type === 'size') return sizeValue(name, text);
  if (spec.type !== 'number') return text;
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text)) throw new Failure(`Parameter '${name}' expects a number`);
  return Number(text);
}

/** @throws Failure */
export function sizeValue(name: string, text: string): number {
  const size = parseSize(text);
  if (size !== undefined) return size;
  throw new Failure(`Parameter '${name}' expects a non-negative number below 2^64`, {
    hint: 'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.\n',
  });
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'str',
  enum: 'str',
  boolean: 'bool (on/off)',
  number: 'num',
  size: 'size',
};

/** The answer to `-o help`. */
export function optionHelp(title: string, schema: OptionSchema): string {
  const lines = Object.entries(schema)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { type, help }]) => `  ${`${name}=<${TYPE_NAMES[type] ?? type}>`.padEnd(22)} - ${help}`);
  return [title, ...lines, ''].join('\n');
}

/** `-o`: the options of a new image, checked against what its format takes, in qemu-img's words. */
import { BlockError } from '../../node/index.ts';
import type { DriverSet, FormatDriver, OptionSchema, OptionSpec } from '../../node/index.ts';
import { parseBoolean } from '../../block/options.ts';
import { Failure } from './failure.ts';
import { parseKeyValues } from './key-values.ts';
import { looksLikeSize, readInteger, readSize } from './sizes.ts';

export type CreateValues = Record<string, string | number>;

/** @throws Failure `Unknown file format '…'` */
export function formatNamed(drivers: DriverSet, name: string): FormatDriver {
  const format = drivers.formats.find((driver) => driver.name === name);
  if (format === undefined) throw new Failure(`Unknown file format '${name}'`);
  return format;
}

/**
 * What QEMU takes for any image in a file, whatever its format. `preallocation` is that of the format where it has one; apart from
 * that these have no effect: they are hints to file systems that only a call below Node could give.
 */
const FILE_OPTIONS = {
  extent_size_hint: { type: 'size', help: 'Extent size hint for the image file, 0 to disable' },
  nocow: { type: 'boolean', help: 'Turn off copy-on-write (valid only on btrfs)' },
  preallocation: {
    type: 'enum',
    values: ['off', 'falloc', 'full'],
    help: 'Preallocation mode (allowed values: off, falloc, full)',
  },
} as const satisfies OptionSchema;

/** The only format that has `preallocation` as an option of its own on QEMU's command line. */
const PREALLOCATES = 'qcow2';

/** What `-o` takes for a format. */
function schemaOf({ createOptions }: FormatDriver): OptionSchema {
  return { ...FILE_OPTIONS, ...createOptions };
}

/** The options that are the format's own affair. @throws BlockError for a value that a file does not take either */
export function formatValues({ name, createOptions }: FormatDriver, values: CreateValues): CreateValues {
  const { preallocation } = values;
  if (preallocation !== undefined && !('preallocation' in createOptions) && !isOfFile('preallocation', preallocation)) {
    throw new BlockError('invalid', `invalid parameter value: ${preallocation}`);
  }
  const isOwn = (option: string, value: string | number): boolean =>
    Object.hasOwn(createOptions, option) && !(name === 'vdi' && isOfFile(option, value));
  return Object.fromEntries(Object.entries(values).filter(([option, value]) => isOwn(option, value)));
}

/** VDI has a preallocation of its own, for programs. */
function isOfFile(option: string, value: string | number): boolean {
  return option === 'preallocation' && FILE_OPTIONS.preallocation.values.some((known) => known === value);
}

/** Joins all `-o`, checks names and types. @throws Failure */
export function createValues(driver: FormatDriver, texts: readonly string[]): CreateValues {
  return readValues(schemaOf(driver), texts);
}

/** The same for options of whatever kind. @throws Failure */
export function readValues(schema: OptionSchema, texts: readonly string[]): CreateValues {
  const values: CreateValues = {};
  for (const [name, text] of texts.flatMap((given) => Object.entries(parseKeyValues(given)))) {
    const spec = Object.hasOwn(schema, name) ? schema[name] : undefined;
    if (spec === undefined) throw new Failure(`Invalid parameter '${name}'`);
    values[name] = readValue(spec, name, text);
  }
  return values;
}

function readValue(spec: OptionSpec, name: string, text: string): string | number {
  if (spec.type === 'boolean' && parseBoolean(text) === undefined) {
    throw new Failure(`Parameter '${name}' expects 'on' or 'off'`);
  }
  if (spec.type === 'size') return sizeValue(name, text);
  if (spec.type !== 'number') return text;
  const value = readInteger(text);
  if (value === undefined || value < 0) throw new Failure(`Parameter '${name}' expects a number`);
  return value;
}

/** @throws Failure */
export function sizeValue(name: string, text: string): number {
  const size = readSize(text);
  if (size !== undefined) return size;
  if (looksLikeSize(text)) throw new Failure(`Value '${text}' is out of range for parameter '${name}'`);
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

/** The answer to `-o help` of a command that makes images. @param withFile a file was named: its options are listed too */
export function createHelp(driver: FormatDriver, withFile: boolean): string {
  const { name, createOptions } = driver;
  if (withFile) {
    const preallocates = name === PREALLOCATES;
    return optionHelp('Supported options:', preallocates ? schemaOf(driver) : { ...createOptions, ...FILE_OPTIONS });
  }
  const shown = Object.entries(createOptions).filter(([option]) => option !== 'preallocation' || name === PREALLOCATES);
  return (
    optionHelp(`Supported ${name} options:`, Object.fromEntries(shown)) +
    '\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n'
  );
}

/** The answer to `-o help`. */
export function optionHelp(title: string, schema: OptionSchema): string {
  const lines = Object.entries(schema)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { type, help }]) => `  ${`${name}=<${TYPE_NAMES[type] ?? type}>`.padEnd(22)} - ${help}`);
  return [title, ...lines, ''].join('\n');
}

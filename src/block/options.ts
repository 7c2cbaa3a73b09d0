/**
 * Options as data: a schema says which options a driver takes, of which type and with which default. The same schema checks
 * what callers pass, types it, and prints help.
 */
import { BlockError } from './error.ts';

export interface OptionSpec {
  readonly type: 'string' | 'boolean' | 'number' | 'size' | 'enum' | 'object' | 'any';
  /** One line for people, without a full stop. */
  readonly help: string;
  readonly values?: readonly string[];
  readonly required?: true;
  readonly default?: unknown;
}

export type OptionSchema = Readonly<Record<string, OptionSpec>>;

type ValueOf<Spec extends OptionSpec> = Spec extends { type: 'enum'; values: readonly (infer Value)[] }
  ? Value
  : {
      string: string;
      boolean: boolean;
      number: number;
      size: number;
      enum: string;
      object: Readonly<Record<string, unknown>>;
      any: unknown;
    }[Spec['type']];

type PresentKeys<Schema extends OptionSchema> = {
  [Key in keyof Schema]: Schema[Key] extends { required: true }
    ? Key
    : 'default' extends keyof Schema[Key]
      ? Key
      : never;
}[keyof Schema];

/** What `parseOptions` returns: required options and those with a default are there, the others may be. */
export type OptionValues<Schema extends OptionSchema> = string extends keyof Schema
  ? Readonly<Record<string, unknown>>
  : { readonly [Key in PresentKeys<Schema>]: ValueOf<Schema[Key]> } & {
      readonly [Key in Exclude<keyof Schema, PresentKeys<Schema>>]?: ValueOf<Schema[Key]>;
    };

/** What a caller may pass: sizes also as text such as `64k`, booleans also as `on` and `off`. */
export type OptionInput<Schema extends OptionSchema> = {
  readonly [Key in keyof Schema as Schema[Key] extends { required: true } ? Key : never]: InputOf<Schema[Key]>;
} & {
  readonly [Key in keyof Schema as Schema[Key] extends { required: true } ? never : Key]?:
    | InputOf<Schema[Key]>
    | undefined;
};

type InputOf<Spec extends OptionSpec> =
  | ValueOf<Spec>
  | (Spec['type'] extends 'size' | 'number' ? string : never)
  | (Spec['type'] extends 'boolean' ? 'on' | 'off' : never);

/**
 * Checks and converts options.
 *
 * @param owner whose options they are, for messages: `driver 'qcow2'`
 * @returns the values, with defaults filled in; options given as `undefined` count as not given
 * @throws BlockError `invalid` for an unknown or missing option, a wrong type, or a value out of range
 */
export function parseOptions<Schema extends OptionSchema>(
  schema: Schema,
  given: Readonly<Record<string, unknown>>,
  owner: string,
): OptionValues<Schema> {
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const spec = Object.hasOwn(schema, name) ? schema[name] : undefined;
    if (spec === undefined) {
      const known = Object.keys(schema).join(', ') || 'none';
      throw new BlockError('invalid', `Option '${name}' is not known to ${owner}; its options are: ${known}`);
    }
    values[name] = parseValue(spec, value, name, owner);
  }
  for (const [name, spec] of Object.entries(schema)) {
    if (values[name] !== undefined) continue;
    if (spec.required === true)
      throw new BlockError('invalid', `Option '${name}' of ${owner} is missing: ${spec.help}`);
    if (spec.default !== undefined) values[name] = spec.default;
  }
  return values as OptionValues<Schema>;
}

function parseValue(spec: OptionSpec, value: unknown, name: string, owner: string): unknown {
  const parsed = convert(spec, value);
  if (parsed === undefined) {
    const wanted = spec.type === 'enum' ? `one of ${(spec.values ?? []).join(', ')}` : WANTED[spec.type];
    throw new BlockError('invalid', `Option '${name}' of ${owner} must be ${wanted}, not ${show(value)}`);
  }
  return parsed;
}

const WANTED = {
  string: 'text',
  boolean: "true or false ('on' or 'off')",
  number: 'a whole number of 0 or more, below 2^53',
  size: "a size in bytes of 0 or more, below 2^53, such as 65536 or '64k'",
  object: 'an object',
  any: 'a value',
} as const;

function convert(spec: OptionSpec, value: unknown): unknown {
  switch (spec.type) {
    case 'string':
      return typeof value === 'string' ? value : undefined;
    case 'boolean':
      return typeof value === 'boolean' ? value : typeof value === 'string' ? parseBoolean(value) : undefined;
    case 'number':
      return toNumber(typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value);
    case 'size':
      return typeof value === 'string' ? parseSize(value) : toNumber(value);
    case 'enum':
      return typeof value === 'string' && spec.values?.includes(value) === true ? value : undefined;
    case 'object':
      return typeof value === 'object' && value !== null ? value : undefined;
    case 'any':
      return value;
  }
}

const YES: readonly string[] = ['on', 'yes', 'true', 'y'];
const NO: readonly string[] = ['off', 'no', 'false', 'n'];

/** Reads what QEMU takes for yes or no. @returns undefined for anything else */
export function parseBoolean(text: string): boolean | undefined {
  return YES.includes(text) ? true : NO.includes(text) ? false : undefined;
}

function toNumber(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

const SUFFIXES = 'bkmgtpe';

/**
 * Reads a size as qemu-img does: digits, perhaps a fraction, and a suffix of b, k, M, G, T, P or E (powers of 1024, either case).
 * A fraction is one of something larger than a byte.
 *
 * @returns bytes, or undefined when the text is no size or not below 2^53
 */
export function parseSize(text: string): number | undefined {
  const hex = /^0x[0-9a-f]+$/i.test(text) ? Number(text) : undefined;
  if (hex !== undefined) return toNumber(hex);
  const match = /^(\d+(?:\.\d*)?)([bkmgtpe])?$/i.exec(text);
  if (match === null) return undefined;
  const power = SUFFIXES.indexOf((match[2] ?? 'b').toLowerCase());
  if (power === 0 && !Number.isInteger(Number(match[1]))) return undefined;
  const bytes = Math.trunc(Number(match[1]) * 1024 ** power);
  return toNumber(bytes);
}

function show(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : typeof value === 'object' ? 'an object' : String(value);
}

/**
 * Command lines as getopt_long reads them: short options in clusters, values attached or next, long options by any unambiguous
 * beginning, options and operands in any order, `--` before operands that begin with a dash.
 */
import { usageError } from './failure.ts';

/** Which options a command takes. Each is known to the command by one key, whatever form it was given in. */
export interface OptionSpecs {
  /** Letters; a colon behind one says that it takes a value: `hf:q`. The letter is the key. */
  readonly short: string;
  /** Names without their dashes, and the key; a colon at its end says that the option takes a value. */
  readonly long: Readonly<Record<string, string>>;
}

export interface GivenOption {
  readonly key: string;
  /** Empty for options without one. */
  readonly value: string;
}

export interface ParsedArguments {
  /** In the order in which they were given. */
  readonly options: readonly GivenOption[];
  readonly operands: readonly string[];
}

interface Known {
  readonly key: string;
  readonly takesValue: boolean;
}

/** What is said of options that are not known, and of missing values. */
export interface ArgumentWords {
  unknown(argument: string, letter?: string): Error;
  noValue(argument: string, letter?: string): Error;
}

const qemuImgWords: ArgumentWords = {
  unknown: (argument) => usageError(`unrecognized option '${argument}'`),
  noValue: (argument) => usageError(`missing argument for option '${argument}'`),
};

/** @param words default: qemu-img's. @throws what they make */
export function parseArguments(
  specs: OptionSpecs,
  given: readonly string[],
  words: ArgumentWords = qemuImgWords,
): ParsedArguments {
  const options: GivenOption[] = [];
  const operands: string[] = [];
  const rest = [...given];
  while (rest.length > 0) {
    const argument = rest.shift()!;
    if (argument === '--') {
      operands.push(...rest);
      break;
    }
    if (argument.startsWith('--')) options.push(longOption(specs, argument, rest, words));
    else if (argument.startsWith('-') && argument.length > 1)
      options.push(...shortOptions(specs, argument, rest, words));
    else operands.push(argument);
  }
  return { options, operands };
}

function longOption(specs: OptionSpecs, argument: string, rest: string[], words: ArgumentWords): GivenOption {
  const equals = argument.indexOf('=');
  const name = argument.slice(2, equals < 0 ? undefined : equals);
  const found = findLong(specs, name);
  if (found === undefined) throw words.unknown(argument);
  if (!found.takesValue) {
    if (equals >= 0) throw words.unknown(argument);
    return { key: found.key, value: '' };
  }
  const value = equals >= 0 ? argument.slice(equals + 1) : rest.shift();
  if (value === undefined) throw words.noValue(argument);
  return { key: found.key, value };
}

/** An exact name, or the only one that begins like this. */
function findLong({ long }: OptionSpecs, name: string): Known | undefined {
  const names = Object.hasOwn(long, name) ? [name] : Object.keys(long).filter((known) => known.startsWith(name));
  const keys = new Set(names.map((known) => long[known]!));
  if (keys.size !== 1) return undefined;
  const key = [...keys][0]!;
  return key.endsWith(':') ? { key: key.slice(0, -1), takesValue: true } : { key, takesValue: false };
}

function shortOptions({ short }: OptionSpecs, argument: string, rest: string[], words: ArgumentWords): GivenOption[] {
  const options: GivenOption[] = [];
  for (let at = 1; at < argument.length; at++) {
    const key = argument[at]!;
    const index = key === ':' ? -1 : short.indexOf(key);
    if (index < 0) throw words.unknown(argument, key);
    if (short[index + 1] !== ':') {
      options.push({ key, value: '' });
      continue;
    }
    const value = at + 1 < argument.length ? argument.slice(at + 1) : rest.shift();
    if (value === undefined) throw words.noValue(argument, key);
    options.push({ key, value });
    break;
  }
  return options;
}

/** The options that a command was given. */
export class Given {
  readonly operands: readonly string[];
  readonly #options: readonly GivenOption[];

  constructor({ options, operands }: ParsedArguments) {
    this.#options = options;
    this.operands = operands;
  }

  /** In the order in which they were given. */
  get all(): readonly GivenOption[] {
    return this.#options;
  }

  has(key: string): boolean {
    return this.#options.some((option) => option.key === key);
  }

  /** The last value that was given. */
  value(key: string): string | undefined {
    return this.#options.findLast((option) => option.key === key)?.value;
  }

  values(key: string): string[] {
    return this.#options.filter((option) => option.key === key).map(({ value }) => value);
  }
}

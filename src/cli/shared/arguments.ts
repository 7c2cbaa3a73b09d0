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

/** @throws Failure for options that are not known, and for missing values, in qemu-img's words */
export function parseArguments(specs: OptionSpecs, given: readonly string[]): ParsedArguments {
  const options: GivenOption[] = [];
  const operands: string[] = [];
  const rest = [...given];
  while (rest.length > 0) {
    const argument = rest.shift()!;
    if (argument === '--') {
      operands.push(...rest);
      break;
    }
    if (argument.startsWith('--')) options.push(longOption(specs, argument, rest));
    else if (argument.startsWith('-') && argument.length > 1) options.push(...shortOptions(specs, argument, rest));
    else operands.push(argument);
  }
  return { options, operands };
}

function longOption(specs: OptionSpecs, argument: string, rest: string[]): GivenOption {
  const equals = argument.indexOf('=');
  const name = argument.slice(2, equals < 0 ? undefined : equals);
  const found = findLong(specs, name);
  if (found === undefined) throw unrecognised(argument);
  if (!found.takesValue) {
    if (equals >= 0) throw unrecognised(argument);
    return { key: found.key, value: '' };
  }
  const value = equals >= 0 ? argument.slice(equals + 1) : rest.shift();
  if (value === undefined) throw missing(argument);
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

function shortOptions({ short }: OptionSpecs, argument: string, rest: string[]): GivenOption[] {
  const options: GivenOption[] = [];
  for (let at = 1; at < argument.length; at++) {
    const key = argument[at]!;
    const index = key === ':' ? -1 : short.indexOf(key);
    if (index < 0) throw unrecognised(argument);
    if (short[index + 1] !== ':') {
      options.push({ key, value: '' });
      continue;
    }
    const value = at + 1 < argument.length ? argument.slice(at + 1) : rest.shift();
    if (value === undefined) throw missing(argument);
    options.push({ key, value });
    break;
  }
  return options;
}

function unrecognised(argument: string) {
  return usageError(`unrecognized option '${argument}'`);
}

function missing(argument: string) {
  return usageError(`missing argument for option '${argument}'`);
}

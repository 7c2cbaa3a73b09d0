/**
 * `blkdebug`: fails, stops and reshapes requests at named points, to test what stands above it.
 *
 * Source: QEMU, "blkdebug.txt" and QAPI, BlockdevOptionsBlkdebug.
 */
import type { Co } from '../../co.ts';
import type { Filter, FilterContext, FilterDriver, FilterLimits } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { parseConfig } from './config-file.ts';
import { DebugFilter } from './filter.ts';
import { givenRules, type RuleTexts } from './rules.ts';

const PREFIX = 'blkdebug:';
const MAX_CONFIG_BYTES = 1024 * 1024;
const MAX_INT = 2 ** 31 - 1;

const schema = {
  config: { type: 'string', help: 'name of a file of rules' },
  align: { type: 'size', help: 'alignment of requests, in bytes' },
  'max-transfer': { type: 'size', help: 'longest read or write, in bytes' },
  'opt-write-zero': { type: 'size', help: 'alignment of write-zeroes requests, in bytes' },
  'max-write-zero': { type: 'size', help: 'longest write-zeroes request, in bytes' },
  'opt-discard': { type: 'size', help: 'alignment of discards, in bytes' },
  'max-discard': { type: 'size', help: 'longest discard, in bytes' },
  'inject-error': { type: 'any', help: 'rules that let requests fail' },
  'set-state': { type: 'any', help: 'rules that change the state' },
  'take-child-perms': { type: 'any', help: 'permissions on the image to take in addition' },
  'unshare-child-perms': { type: 'any', help: 'permissions on the image not to share' },
} as const satisfies OptionSchema;

type Options = OptionValues<typeof schema>;

export const blkdebug: FilterDriver<typeof schema> = {
  kind: 'filter',
  name: 'blkdebug',
  options: schema,
  childName: 'image',

  parseFilename: (filename) => {
    if (!filename.startsWith(PREFIX)) return undefined;
    const rest = filename.slice(PREFIX.length);
    const colon = rest.indexOf(':');
    if (colon < 0) throw new BlockError('invalid', 'blkdebug requires both config file and image path', { filename });
    const config = colon === 0 ? {} : { config: rest.slice(0, colon) };
    return { driver: 'blkdebug', ...config, image: { filename: rest.slice(colon + 1) } };
  },

  *open(context): Co<Filter> {
    const { flags, options } = context;
    checkPermissions(options);
    const limits = limitsOf(options);
    const texts = yield* ruleTexts(context);
    return new DebugFilter(texts, limits, flags.noFlush);
  },
};

/** The rules of the file, then those among the options. */
function* ruleTexts({ options, readFile }: FilterContext<Options>): Co<RuleTexts> {
  const given = givenRules(options['inject-error'], options['set-state']);
  if (options.config === undefined || options.config === '') return given;
  const file = parseConfig(new TextDecoder().decode(yield* readConfig(options.config, readFile)));
  return {
    injectError: [...file.injectError, ...given.injectError],
    setState: [...file.setState, ...given.setState],
  };
}

function* readConfig(config: string, readFile: FilterContext['readFile']): Co<Uint8Array> {
  try {
    return yield* readFile(config, MAX_CONFIG_BYTES);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    throw new BlockError(error.kind, `Could not read blkdebug config file: ${error.message}`, error.context, {
      cause: error,
    });
  }
}

/** @throws BlockError `invalid` for limits that contradict each other. @returns undefined when none is given */
function limitsOf(options: Options): FilterLimits | undefined {
  const given = (name: keyof Options): number => (options[name] as number | undefined) ?? 0;
  const requestAlignment = given('align') || 1;
  if (requestAlignment >= MAX_INT || !Number.isInteger(Math.log2(requestAlignment)))
    throw unmet('align', given('align'));
  const multiple = (name: keyof Options, unit: number): number => {
    const value = given(name);
    if (value >= MAX_INT || value % unit !== 0) throw unmet(name, value);
    return value;
  };
  const transferMax = multiple('max-transfer', requestAlignment);
  const writeZeroesAlignment = multiple('opt-write-zero', requestAlignment) || 1;
  const writeZeroesMax = multiple('max-write-zero', Math.max(requestAlignment, writeZeroesAlignment));
  const discardAlignment = multiple('opt-discard', requestAlignment) || 1;
  const discardMax = multiple('max-discard', Math.max(requestAlignment, discardAlignment));
  const limits = { requestAlignment, transferMax, writeZeroesAlignment, writeZeroesMax, discardAlignment, discardMax };
  const unlimited = Object.values(limits).every((value) => value <= 1);
  return unlimited ? undefined : { ...limits, transferOptimal: 0 };
}

function unmet(name: string, value: number): BlockError {
  return new BlockError('invalid', `Cannot meet constraints with ${name} ${value}`);
}

const PERMISSIONS: readonly string[] = ['consistent-read', 'write', 'write-unchanged', 'resize'];

/** The names are checked; the core's own rules about who may write stay as they are. */
function checkPermissions(options: Options): void {
  for (const name of ['take-child-perms', 'unshare-child-perms'] as const) {
    const list = options[name];
    if (list === undefined) continue;
    const names: unknown[] = typeof list === 'object' && list !== null ? Object.values(list) : [list];
    const unknown = names.find((value) => typeof value !== 'string' || !PERMISSIONS.includes(value));
    if (unknown !== undefined) throw new BlockError('invalid', `Invalid parameter '${String(unknown)}' in '${name}'`);
  }
}

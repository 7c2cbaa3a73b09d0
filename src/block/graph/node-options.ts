/** Options that every node takes, whatever its driver, with QEMU's names (`blockdev-add`). */
import type { BlockdevOptions, OpenFlags } from '../driver.ts';
import { BlockError } from '../error.ts';
import { parseOptions, type OptionSchema, type OptionValues } from '../options.ts';

export const genericOptions = {
  driver: { type: 'string', help: 'name of the driver' },
  'node-name': { type: 'string', help: 'name of the node, unique in its graph; without it one is made up' },
  'read-only': { type: 'boolean', help: 'whether the node refuses writes; without it, only where its storage does' },
  'auto-read-only': {
    type: 'boolean',
    help: 'taken, and without effect: a node is read-only where its storage is, unless read-only says otherwise',
  },
  'force-share': {
    type: 'boolean',
    help: 'whether others may write to it meanwhile; read-only nodes only',
    default: false,
  },
  discard: {
    type: 'enum',
    values: ['ignore', 'unmap'],
    help: 'what becomes of discards; QEMU ignores them unless told otherwise, here they give space back',
    default: 'unmap',
  },
  'detect-zeroes': {
    type: 'enum',
    values: ['off', 'on', 'unmap'],
    help: 'whether writes of zeroes are turned into write-zeroes requests',
    default: 'off',
  },
  'cache.no-flush': {
    type: 'boolean',
    help: 'whether flushes are left out, here and below: a power cut loses what it likes',
  },
  'cache.direct': {
    type: 'boolean',
    help: 'whether the cache of the system was to be passed by; it is taken, and used all the same',
  },
  probed: {
    type: 'boolean',
    help: 'the format was guessed by whoever opens it: a raw image refuses writes that would make it look like another format',
    default: false,
  },
  'backing-identity': {
    type: 'enum',
    values: ['check', 'format', 'ignore', 'update'],
    help: 'whether the backing file must be the one that the overlay was made on; `format`: only as far as the format itself says it, as with QEMU; `update` takes the present one for it',
    default: 'check',
  },
} as const satisfies OptionSchema;

export type GenericOptions = OptionValues<typeof genericOptions>;

/** Children that the graph opens itself. Everything else belongs to the driver. */
const CHILDREN = new Set(['file', 'backing']);

export interface SplitOptions {
  readonly generic: GenericOptions;
  readonly children: Readonly<Record<string, unknown>>;
  readonly own: Readonly<Record<string, unknown>>;
}

/** Other names that QEMU has for them. */
const DISCARD_ALIASES: Readonly<Partial<Record<string, string>>> = { on: 'unmap', off: 'ignore' };

/** `cache` is the one generic option that has parts: an unknown part is unknown to the driver, like any option. */
function withFlatCache(options: BlockdevOptions): BlockdevOptions {
  const { cache, ...others } = options;
  if (typeof cache !== 'object' || cache === null) return options;
  return { ...others, ...Object.fromEntries(Object.entries(cache).map(([name, value]) => [`cache.${name}`, value])) };
}

export type CacheFlags = Pick<OpenFlags, 'noFlush' | 'direct'>;

/** What is not said of caches is as it is above. */
export function cacheFlags(generic: GenericOptions, above: CacheFlags): CacheFlags {
  const { noFlush = false, direct = false } = above;
  return { noFlush: generic['cache.no-flush'] ?? noFlush, direct: generic['cache.direct'] ?? direct };
}

/** Sorts options into the generic ones, children, and the driver's own. @throws BlockError `invalid` */
export function splitOptions(options: BlockdevOptions): SplitOptions {
  const parts = { generic: {}, children: {}, own: {} } as Record<
    'generic' | 'children' | 'own',
    Record<string, unknown>
  >;
  for (const [name, value] of Object.entries(withFlatCache(options))) {
    const part = Object.hasOwn(genericOptions, name) ? 'generic' : CHILDREN.has(name) ? 'children' : 'own';
    parts[part][name] = name === 'discard' ? (DISCARD_ALIASES[String(value)] ?? value) : value;
  }
  const generic = parseOptions(genericOptions, parts.generic, 'every node');
  if (generic['force-share'] && generic['read-only'] !== true) {
    throw new BlockError('invalid', 'force-share=on can only be used with read-only images');
  }
  return { generic, children: parts.children, own: parts.own };
}

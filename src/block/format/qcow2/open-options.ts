/** Options of an image that is opened, with QEMU's names, and how large its caches become. */
import { BlockError } from '../../error.ts';
import { parseOptions, type OptionSchema, type OptionValues } from '../../options.ts';
import { clusterSizeOf, l2EntryLengthOf, type Qcow2Header } from './header.ts';
import { COMPATIBLE_LAZY_REFCOUNTS } from './layout.ts';
import { overlapTemplates, structures, type Structure } from './places.ts';

export const openOptions = {
  'lazy-refcounts': { type: 'boolean', help: 'Postpone refcount updates; without it, as the image says' },
  'pass-discard-request': { type: 'boolean', help: 'Tell the file of clusters that the guest discards', default: true },
  'pass-discard-other': { type: 'boolean', help: 'Tell the file of other clusters that become free', default: false },
  'cache-clean-interval': {
    type: 'number',
    help: 'Taken, and without effect: the caches are bounded, and nothing is thrown away for being old',
  },
  'discard-no-unref': {
    type: 'boolean',
    help: 'Keep the clusters that the guest discards reserved for it, so that the file does not become fragmented',
    default: false,
  },
  'data-file': { type: 'any', help: 'Where guest data is, in the place of the file that the image names' },
  'overlap-check': {
    type: 'any',
    help: 'Which of its structures are protected against being overwritten: none, constant, cached, all, or an object of one of these as template and of structures that are looked out for besides, or not',
    default: 'cached',
  },
  encrypt: { type: 'object', help: "Of an encrypted image: 'key-secret', the ID of its passphrase, and 'format'" },
  'cache-size': { type: 'size', help: 'Bytes of the metadata caches together' },
  'l2-cache-size': { type: 'size', help: 'Bytes of the L2 table cache' },
  'l2-cache-entry-size': { type: 'size', help: 'Bytes of L2 table that are read at once; a power of two' },
  'refcount-cache-size': { type: 'size', help: 'Bytes of the refcount block cache' },
} as const satisfies OptionSchema;

export type OpenOptions = OptionValues<typeof openOptions>;

export interface CacheSizes {
  readonly sliceBytes: number;
  readonly l2Slices: number;
  readonly refcountSliceBytes: number;
  readonly refcountSlices: number;
}

/** One request to any storage brings it, and it maps 32 MiB of a disk with clusters of 64 KiB. QEMU's default too. */
const DEFAULT_SLICE_BYTES = 4096;
/** Maps 128 GiB of a disk with clusters of 64 KiB. */
const MAX_DEFAULT_L2_BYTES = 16 * 1024 * 1024;
/**
 * QEMU keeps four clusters, and writes them as it needs room. Here there is a flush each time: a snapshot, which changes every count, of
 * ten gigabytes in clusters of 16 KiB has none with this much (half of a cache may be waiting to be written).
 */
const DEFAULT_REFCOUNT_BYTES = 4 * 1024 * 1024;
/** Of a size that is given for both caches, refcounts get a quarter at most: tables are on the path of every request. */
const REFCOUNT_SHARE = 4;
/** Changing a slice and what belongs to it takes a few; half of a cache may be waiting to be written. */
const MIN_SLICES = 8;
/** A cache that no browser tab could hold is a mistake of the caller's. */
const MAX_CACHE_BYTES = 1024 * 1024 * 1024;

/**
 * @returns slices in each cache: no more than the image has, no fewer than work takes
 * @throws BlockError `invalid` for sizes that contradict each other or the image
 */
export function cacheSizes(options: OpenOptions, header: Qcow2Header): CacheSizes {
  const clusterSize = clusterSizeOf(header);
  const sliceBytes = options['l2-cache-entry-size'] ?? Math.min(clusterSize, DEFAULT_SLICE_BYTES);
  if (sliceBytes < 512 || sliceBytes > clusterSize || Math.log2(sliceBytes) % 1 !== 0) {
    throw new BlockError(
      'invalid',
      `L2 cache entry size must be a power of two between 512 and the cluster size (${clusterSize}), not ${sliceBytes}`,
    );
  }
  const { l2Bytes, refcountBytes } = cacheBytes(options);
  const refcountSliceBytes = Math.min(clusterSize, DEFAULT_SLICE_BYTES);
  const neededL2 = Math.ceil(header.size / (clusterSize * (sliceBytes / l2EntryLengthOf(header))));
  return {
    sliceBytes,
    // Twice as many as there are, where that fits: half of a cache may be dirty, and memory is only taken for what is used.
    l2Slices: Math.max(MIN_SLICES, Math.min(2 * neededL2, Math.floor(l2Bytes / sliceBytes))),
    refcountSliceBytes,
    refcountSlices: Math.max(MIN_SLICES, Math.floor(refcountBytes / refcountSliceBytes)),
  };
}

function cacheBytes(options: OpenOptions): { l2Bytes: number; refcountBytes: number } {
  const { 'cache-size': both, 'l2-cache-size': l2, 'refcount-cache-size': refcount } = options;
  for (const [name, bytes] of Object.entries({
    'cache-size': both,
    'l2-cache-size': l2,
    'refcount-cache-size': refcount,
  })) {
    if (bytes !== undefined && bytes > MAX_CACHE_BYTES) {
      throw new BlockError('invalid', `Option '${name}' is ${bytes} bytes; the limit is ${MAX_CACHE_BYTES}`);
    }
  }
  if (both === undefined) {
    return { l2Bytes: l2 ?? MAX_DEFAULT_L2_BYTES, refcountBytes: refcount ?? DEFAULT_REFCOUNT_BYTES };
  }
  if (l2 !== undefined && refcount !== undefined) {
    throw new BlockError(
      'invalid',
      'cache-size, l2-cache-size and refcount-cache-size may not be set at the same time',
    );
  }
  if ((l2 ?? 0) > both) throw new BlockError('invalid', 'l2-cache-size may not exceed cache-size');
  if ((refcount ?? 0) > both) throw new BlockError('invalid', 'refcount-cache-size may not exceed cache-size');
  if (l2 !== undefined) return { l2Bytes: l2, refcountBytes: both - l2 };
  const refcountBytes = refcount ?? Math.min(DEFAULT_REFCOUNT_BYTES, Math.floor(both / REFCOUNT_SHARE));
  return { l2Bytes: both - refcountBytes, refcountBytes };
}

/** @throws BlockError `invalid` when lazy refcounts are asked for and the image's version does not have them */
export function lazyRefcounts(options: OpenOptions, header: Qcow2Header): boolean {
  const lazy = options['lazy-refcounts'] ?? (header.compatibleFeatures & COMPATIBLE_LAZY_REFCOUNTS) !== 0n;
  if (lazy && header.version === 2) {
    throw new BlockError('invalid', 'Lazy refcounts require a qcow2 image of compatibility level 1.1 (version 3)');
  }
  return lazy;
}

/** @throws BlockError `invalid` when discarded clusters are to be kept and the image's version cannot say that they are zero */
export function keepDiscarded(options: OpenOptions, header: Qcow2Header): boolean {
  const keeps = options['discard-no-unref'];
  if (keeps && header.version === 2) {
    throw new BlockError(
      'invalid',
      'discard-no-unref is only supported since qcow2 version 3 (compatibility level 1.1)',
    );
  }
  return keeps;
}

const overlapOptions = {
  template: {
    type: 'enum',
    values: ['none', 'constant', 'cached', 'all'],
    help: 'What follows changes',
    default: 'cached',
  },
  ...(Object.fromEntries(
    structures.map((name) => [name, { type: 'boolean', help: `Look out for: ${name}` }]),
  ) as Readonly<Record<Structure, { type: 'boolean'; help: string }>>),
} as const satisfies OptionSchema;

/**
 * Which structures are protected against being overwritten. QEMU: `overlap-check`, `overlap-check.template` and the names of structures.
 *
 * @throws BlockError `invalid`
 */
export function overlapChecks(options: OpenOptions): ReadonlySet<Structure> {
  const given = options['overlap-check'];
  if (typeof given !== 'object' || given === null) {
    if (typeof given === 'string' && Object.hasOwn(overlapTemplates, given)) {
      return new Set(overlapTemplates[given as keyof typeof overlapTemplates]);
    }
    const templates = Object.keys(overlapTemplates).join(', ');
    throw new BlockError(
      'invalid',
      `Option 'overlap-check' must be one of ${templates}, or an object, not '${String(given)}'`,
    );
  }
  const parsed = parseOptions(overlapOptions, given as Readonly<Record<string, unknown>>, "option 'overlap-check'");
  const checked = new Set<Structure>(overlapTemplates[parsed.template]);
  for (const name of structures) {
    if (parsed[name] === true) checked.add(name);
    if (parsed[name] === false) checked.delete(name);
  }
  return checked;
}

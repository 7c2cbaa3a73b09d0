/** What `convert` was asked for. */
import type { Given } from '../shared/arguments.ts';
import { Failure } from '../shared/failure.ts';
import { readInteger, sizeArgument } from '../shared/sizes.ts';
import { COMMON_LONG, sourceCache, targetCache } from './command.ts';
import type { CacheMode } from '../shared/cache-mode.ts';

const MAX_SPARSE = 16 * 1024 * 1024;
const SECTOR_BYTES = 512;
const MAX_PARALLEL = 16;

export const convertSpecs = {
  short: 'hf:O:B:CcF:o:l:S:pt:T:qnm:WUr:',
  long: {
    ...COMMON_LONG,
    'target-image-opts': 'target-image-opts',
    'force-share': 'U',
    'target-is-zero': 'target-is-zero',
    salvage: 'salvage',
    bitmaps: 'bitmaps',
    'skip-broken-bitmaps': 'skip-broken-bitmaps',
  },
} as const;

export interface ConvertRequest {
  readonly sources: readonly string[];
  readonly target: string;
  readonly format: string;
  readonly existing: boolean;
  readonly compressed: boolean;
  readonly targetIsZero: boolean;
  readonly sparseSize: number;
  /** Undefined: as many as copies fastest. */
  readonly parallel: number | undefined;
  readonly rate: number;
  readonly cache: CacheMode;
}

/** @throws Failure in qemu-img's words */
export function readConvertRequest(given: Given): ConvertRequest {
  const sparseText = given.value('S');
  const sparseSize = sparseText === undefined ? 4096 : readSparse(sparseText);
  const parallel = readParallel(given.value('m'));
  const rateText = given.value('r');
  const rate = rateText === undefined ? 0 : sizeArgument('rate limit', rateText);
  refuseContradictions(given);
  sourceCache(given);
  const cache = targetCache(given, 'unsafe');
  const sources = given.operands.slice(0, -1);
  const target = given.operands.at(-1);
  if (target === undefined || sources.length === 0) throw new Failure('Must specify image file name');
  return {
    sources,
    target,
    format: given.value('O') ?? 'raw',
    existing: given.has('n'),
    compressed: given.has('c'),
    targetIsZero: given.has('target-is-zero'),
    sparseSize,
    parallel,
    rate,
    cache,
  };
}

function readSparse(text: string): number {
  const size = sizeArgument('buffer size for sparse output', text);
  if (size % SECTOR_BYTES === 0 && size <= MAX_SPARSE) return size;
  throw new Failure(
    `Invalid buffer size for sparse output specified. Valid sizes are multiples of ${SECTOR_BYTES} up to ${MAX_SPARSE}. ` +
      'Select 0 to disable sparse detection (fully allocates output).',
  );
}

function readParallel(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = readInteger(text) ?? 0;
  if (value >= 1 && value <= MAX_PARALLEL) return value;
  throw new Failure(`Invalid number of coroutines. Allowed number of coroutines is between 1 and ${MAX_PARALLEL}`);
}

function refuseContradictions(given: Given): void {
  const refused: readonly (readonly [boolean, string])[] = [
    [given.has('target-image-opts') && given.has('O'), '--image-opts and --format are mutually exclusive'],
    [given.has('target-image-opts') && !given.has('n'), '--target-image-opts requires use of -n flag'],
    [given.has('n') && given.has('o'), '-o has no effect when skipping image creation'],
    [given.has('skip-broken-bitmaps') && !given.has('bitmaps'), 'Use of --skip-broken-bitmaps requires --bitmaps'],
    [given.has('target-is-zero') && !given.has('n'), '--target-is-zero requires use of -n flag'],
    [given.has('C') && given.has('S'), 'Cannot enable copy offloading when -S is used'],
    [given.has('C') && given.has('c'), 'Cannot enable copy offloading when -c is used'],
    [given.has('C') && given.has('salvage'), 'Cannot use copy offloading in salvaging mode'],
    [
      given.has('target-is-zero') && given.has('B'),
      'Cannot use --target-is-zero when the destination image has a backing file',
    ],
  ];
  for (const [wrong, message] of refused) if (wrong) throw new Failure(message);
}

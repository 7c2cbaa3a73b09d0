/** Options of a throttle group, with QEMU's names, and what contradicts itself among them. */
import { BlockError } from '../../error.ts';
import { parseOptions, type OptionSpec } from '../../options.ts';
import type { BucketLimits } from './bucket.ts';

export const BUCKETS = ['bps-total', 'bps-read', 'bps-write', 'iops-total', 'iops-read', 'iops-write'] as const;
export type BucketName = (typeof BUCKETS)[number];

export interface ThrottleLimits {
  readonly buckets: Readonly<Record<BucketName, BucketLimits>>;
  /** A request of more bytes counts as several operations; 0: each is one. */
  readonly iopsSize: number;
}

/** QEMU: THROTTLE_VALUE_MAX. */
const LARGEST = 1_000_000_000_000_000;

/**
 * Reads limits: `iops-total`, `bps-read-max`, `iops-write-max-length`, `iops-size` …, each with or without `x-` before it.
 *
 * @throws BlockError `invalid` for unknown names and contradictions, in QEMU's words
 */
export function parseThrottleLimits(given: Readonly<Record<string, unknown>>): ThrottleLimits {
  const plain = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name.startsWith('x-') ? name.slice(2) : name, value]),
  );
  const values = parseOptions(schema(), plain, 'a throttle group') as Readonly<Record<string, number>>;
  const valueOf = (name: string, fallback: number): number => values[name] ?? fallback;
  const buckets = Object.fromEntries(
    BUCKETS.map((name) => {
      const limits = {
        average: valueOf(name, 0),
        max: valueOf(`${name}-max`, 0),
        burstSeconds: valueOf(`${name}-max-length`, 1),
      };
      checkBucket(limits);
      return [name, limits];
    }),
  ) as Record<BucketName, BucketLimits>;
  const iopsSize = valueOf('iops-size', 0);
  checkTogether(buckets, iopsSize);
  return { buckets, iopsSize };
}

function schema(): Record<string, OptionSpec> {
  const options: Record<string, OptionSpec> = {
    'iops-size': { type: 'size', help: 'bytes that count as one operation' },
  };
  for (const name of BUCKETS) {
    options[name] = { type: 'size', help: `limit of ${name}, a second` };
    options[`${name}-max`] = { type: 'size', help: `limit of ${name} during a burst, a second` };
    options[`${name}-max-length`] = { type: 'number', help: `seconds that a burst of ${name} may last` };
  }
  return options;
}

function checkBucket({ average, max, burstSeconds }: BucketLimits): void {
  if (average > LARGEST || max > LARGEST) throw invalid(`bps/iops/max values must be within [0, ${LARGEST}]`);
  if (burstSeconds === 0) throw invalid('the burst length cannot be 0');
  if (burstSeconds > 1 && max === 0) throw invalid('burst length set without burst rate');
  if (max > 0 && burstSeconds > LARGEST / max) throw invalid('burst length too high for this burst rate');
  if (max > 0 && average === 0) throw invalid('bps_max/iops_max require corresponding bps/iops values');
  if (max > 0 && max < average) throw invalid('bps_max/iops_max cannot be lower than bps/iops');
}

function checkTogether(buckets: Readonly<Record<BucketName, BucketLimits>>, iopsSize: number): void {
  const set = (name: BucketName): boolean => buckets[name].average > 0;
  const bursts = (name: BucketName): boolean => buckets[name].max > 0;
  for (const test of [set, bursts]) {
    const both = (['bps', 'iops'] as const).some(
      (unit) => test(`${unit}-total`) && (test(`${unit}-read`) || test(`${unit}-write`)),
    );
    if (!both) continue;
    throw invalid('bps/iops/max total values and read/write values cannot be used at the same time');
  }
  if (iopsSize > 0 && !(set('iops-total') || set('iops-read') || set('iops-write'))) {
    throw invalid('iops size requires an iops value to be set');
  }
}

function invalid(message: string): BlockError {
  return new BlockError('invalid', message);
}

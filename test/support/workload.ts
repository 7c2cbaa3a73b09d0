/** Seeded sequences of guest operations, with sizes and offsets that like boundaries; printed as a list and made shorter. */
import type { Random } from './random.ts';

/** Offsets and lengths in bytes. `id` names the operation in messages and is the number of its write pattern. */
export type Operation = { readonly id: number } & (
  | { readonly verb: 'write' | 'compress'; readonly offset: number; readonly length: number; readonly fua: boolean }
  | { readonly verb: 'zero'; readonly offset: number; readonly length: number; readonly unmap: boolean }
  | { readonly verb: 'discard' | 'read'; readonly offset: number; readonly length: number }
  | { readonly verb: 'flush' | 'reopen' | 'empty' }
  | { readonly verb: 'resize'; readonly size: number }
  /** `which`: the number of a snapshot among those that there are, counted round and round. */
  | { readonly verb: 'snapshot' | 'apply' | 'delete'; readonly which: number }
);

export type Verb = Operation['verb'];

export interface WorkloadOptions {
  readonly random: Random;
  /** How many operations. */
  readonly count: number;
  /** Size of the disk at the start, bytes. */
  readonly size: number;
  /** Lengths in bytes whose multiples are interesting: cluster, what an L2 table covers, … */
  readonly boundaries: readonly number[];
  /** Offsets and lengths are multiples of it. */
  readonly alignment?: number;
  readonly weights?: Readonly<Partial<Record<Verb, number>>>;
  readonly maxLength?: number;
  /** The smallest and largest size that a change of size asks for. */
  readonly sizes?: readonly [number, number];
}

const DEFAULT_WEIGHTS: Readonly<Partial<Record<Verb, number>>> = {
  write: 10,
  read: 4,
  zero: 3,
  discard: 2,
  flush: 2,
  reopen: 1,
};

export function generateWorkload(options: WorkloadOptions): Operation[] {
  const { random, count, weights = DEFAULT_WEIGHTS, alignment = 512 } = options;
  const operations: Operation[] = [];
  let { size } = options;
  for (let id = 1; id <= count; id++) {
    const verb = random.weighted(weights);
    if (verb === 'flush' || verb === 'reopen' || verb === 'empty') {
      operations.push({ id, verb });
    } else if (verb === 'resize') {
      const [low, high] = options.sizes ?? [size, size];
      size = alignDown(random.between(low, high), alignment);
      operations.push({ id, verb, size });
    } else if (verb === 'snapshot' || verb === 'apply' || verb === 'delete') {
      operations.push({ id, verb, which: random.below(100) });
    } else {
      const { offset, length } = range(size, options, alignment);
      if (length === 0) continue;
      if (verb === 'write' || verb === 'compress')
        operations.push({ id, verb, offset, length, fua: random.chance(0.05) });
      else if (verb === 'zero') operations.push({ id, verb, offset, length, unmap: random.chance(0.5) });
      else operations.push({ id, verb, offset, length });
    }
  }
  return operations;
}

/** A range inside the disk whose ends often are at a boundary or one step beside it. */
function range(size: number, options: WorkloadOptions, alignment: number): { offset: number; length: number } {
  const { random, boundaries, maxLength = size } = options;
  const offset = Math.min(point(size - alignment, random, boundaries, alignment), size - alignment);
  const limit = Math.min(maxLength, size - offset);
  const boundary = random.pick(boundaries);
  const wanted = random.weighted({ step: 3, unit: 4, toBoundary: 3, any: 3 });
  const lengths = {
    step: alignment,
    unit: boundary * random.between(1, 3),
    toBoundary: boundary - (offset % boundary) + alignment * random.between(-1, 1),
    any: random.between(alignment, Math.max(alignment, limit)),
  };
  return { offset, length: Math.min(limit, Math.max(alignment, alignDown(lengths[wanted], alignment))) };
}

function point(limit: number, random: Random, boundaries: readonly number[], alignment: number): number {
  if (limit <= 0) return 0;
  if (random.chance(0.3)) return alignDown(random.between(0, limit), alignment);
  const boundary = random.pick(boundaries);
  const at = boundary * random.between(0, Math.floor(limit / boundary)) + alignment * random.pick([0, 0, 0, -1, 1]);
  return alignDown(Math.max(0, Math.min(limit, at)), alignment);
}

function alignDown(value: number, alignment: number): number {
  return Math.floor(value / alignment) * alignment;
}

/** One operation a line, in the manner of qemu-io commands. */
export function printWorkload(operations: readonly Operation[]): string {
  return operations.map((operation) => `${String(operation.id).padStart(4)}  ${printOperation(operation)}`).join('\n');
}

export function printOperation(operation: Operation): string {
  switch (operation.verb) {
    case 'write':
    case 'compress':
      return `write${operation.verb === 'compress' ? ' -c' : ''}${operation.fua ? ' -f' : ''} ${operation.offset} ${operation.length}`;
    case 'zero':
      return `write -z${operation.unmap ? ' -u' : ''} ${operation.offset} ${operation.length}`;
    case 'discard':
    case 'read':
      return `${operation.verb} ${operation.offset} ${operation.length}`;
    case 'resize':
      return `truncate ${operation.size}`;
    case 'snapshot':
    case 'apply':
    case 'delete':
      return `${operation.verb} ${operation.which}`;
    case 'flush':
    case 'reopen':
    case 'empty':
      return operation.verb;
  }
}

/**
 * Drops operations as long as the rest still fails: larger pieces first, then one by one.
 *
 * @param fails runs a list and tells whether it fails; called at most `budget` times
 * @returns the shortest failing list that was found
 */
export async function shrinkWorkload<T>(
  operations: readonly T[],
  fails: (operations: readonly T[]) => boolean | Promise<boolean>,
  budget = 150,
): Promise<readonly T[]> {
  let current = operations;
  let left = budget;
  for (let piece = Math.ceil(current.length / 2); piece >= 1; piece = piece === 1 ? 0 : Math.ceil(piece / 2)) {
    for (let start = current.length - piece; start > -piece; start -= piece) {
      if (left-- <= 0) return current;
      const shorter = [...current.slice(0, Math.max(0, start)), ...current.slice(Math.max(0, start) + piece)];
      if (shorter.length < current.length && shorter.length > 0 && (await fails(shorter))) current = shorter;
    }
  }
  return current;
}

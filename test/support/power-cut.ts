/**
 * What a disk could hold after the power was cut. Everything that was answered before the last finished flush began is there;
 * of every later change any sector may be there or not, in any order. A write is torn between 512-byte sectors, never inside one.
 */
import { type Random, SECTOR_BYTES } from './random.ts';
import { applyChange, type Change, type LogEvent } from './simulated-storage.ts';
import type { SparseBytes } from './sparse-bytes.ts';

export interface PowerCut {
  /** How many events of the log had happened. */
  readonly position: number;
  /** Which unflushed changes made it, in words for a failure message. */
  readonly description: string;
  readonly content: SparseBytes;
}

export interface PowerCutOptions {
  readonly random: Random;
  /** Random choices per position, beside the fixed ones. */
  readonly samples?: number;
  /** Look only at every n-th position, from a random one on; 1 looks at all. */
  readonly stride?: number;
}

interface Pending {
  readonly id: number;
  readonly change: Change;
  /** When it was answered, as a place in the log; later is later. */
  endedAt: number;
}

/** A log to replay: what `SimulatedStorage` keeps. */
export interface LoggedStorage {
  readonly initial: SparseBytes;
  readonly log: readonly LogEvent[];
}

/**
 * Every position at which something new could be on the disk, and for each the contents that are worth a look.
 *
 * A position is new when a change has begun (contents without that change were possible one position earlier already) and when
 * a flush was answered (fewer contents are possible, and more is promised).
 */
export function* powerCuts(storage: LoggedStorage, options: PowerCutOptions): Generator<PowerCut> {
  const { random, samples = 2, stride = 1 } = options;
  const phase = random.below(stride);
  let looked = 0;
  for (const { position, durable, pending, newest } of replay(storage)) {
    if (looked++ % stride !== phase) continue;
    for (const { description, changes } of choices(pending, newest, random, samples)) {
      const content = durable.copy();
      for (const change of changes) applyChange(content, change);
      yield { position, description, content };
    }
  }
}

interface Moment {
  readonly position: number;
  readonly durable: SparseBytes;
  readonly pending: readonly Pending[];
  /** The change that has just begun; undefined after a flush. */
  readonly newest: Pending | undefined;
}

function* replay({ initial, log }: LoggedStorage): Generator<Moment> {
  const durable = initial.copy();
  const covered = new Map<number, ReadonlySet<Pending>>();
  let pending: Pending[] = [];
  yield { position: 0, durable, pending, newest: undefined };
  for (const [index, event] of log.entries()) {
    const position = index + 1;
    if (event.kind === 'begin') {
      const newest: Pending = { id: event.id, change: event.change, endedAt: Number.POSITIVE_INFINITY };
      pending.push(newest);
      yield { position, durable, pending, newest };
    } else if (event.kind === 'end') {
      const ended = pending.find(({ id }) => id === event.id);
      if (ended !== undefined) ended.endedAt = position;
    } else if (event.kind === 'flush-begin') {
      const isCovered = ({ endedAt, change }: Pending): boolean => endedAt <= position && change.file === event.file;
      covered.set(event.id, new Set(pending.filter(isCovered)));
    } else {
      const stable = covered.get(event.id) ?? new Set<Pending>();
      pending.sort((left, right) => left.endedAt - right.endedAt || left.id - right.id);
      for (const { change } of pending.filter((one) => stable.has(one))) applyChange(durable, change);
      pending = pending.filter((one) => !stable.has(one));
      yield { position, durable, pending, newest: undefined };
    }
  }
}

interface Choice {
  readonly description: string;
  readonly changes: readonly Change[];
}

function* choices(
  pending: readonly Pending[],
  newest: Pending | undefined,
  random: Random,
  samples: number,
): Generator<Choice> {
  if (newest === undefined) yield { description: 'nothing after the flush', changes: [] };
  if (pending.length === 0) return;
  yield { description: `all ${pending.length} unflushed changes`, changes: pending.map(({ change }) => change) };
  if (newest !== undefined && pending.length > 1) {
    yield { description: `only the last change ${newest.id}`, changes: [newest.change] };
  }
  if (pending.length > 2) {
    const dropped = random.pick(pending.filter((change) => change !== newest));
    const kept = pending.filter((change) => change !== dropped);
    yield { description: `all but change ${dropped.id}`, changes: kept.map(({ change }) => change) };
  }
  for (let sample = 0; sample < samples; sample++) yield randomChoice(pending, newest, random);
}

function randomChoice(pending: readonly Pending[], newest: Pending | undefined, random: Random): Choice {
  const probability = random.pick([0.2, 0.5, 0.8]);
  const kept = pending.filter((change) => change === newest || random.chance(probability));
  const words: string[] = [];
  const changes: Change[] = [];
  for (const { id, change } of reorder(kept, random)) {
    const torn = random.chance(0.4) ? tear(change, random) : undefined;
    words.push(torn === undefined ? `${id}` : `${id} torn`);
    changes.push(...(torn ?? [change]));
  }
  return { description: `of the unflushed changes, in this order: ${words.join(', ') || 'none'}`, changes };
}

/** Any order, but nothing moves across a change of length: a file system keeps those in their places among the writes. */
function reorder(pending: readonly Pending[], random: Random): Pending[] {
  const ordered: Pending[] = [];
  let run: Pending[] = [];
  for (const next of pending) {
    if (next.change.kind !== 'truncate') {
      run.push(next);
      continue;
    }
    ordered.push(...random.shuffle(run), next);
    run = [];
  }
  return [...ordered, ...random.shuffle(run)];
}

/** Keeps some sectors of a write, or undefined if it has no two of them. */
function tear(change: Change, random: Random): Change[] | undefined {
  if (change.kind === 'truncate') return undefined;
  const length = change.kind === 'write' ? change.data.length : change.length;
  const end = change.offset + length;
  if (Math.floor(change.offset / SECTOR_BYTES) === Math.floor((end - 1) / SECTOR_BYTES)) return undefined;
  const keepRun = random.chance(0.5) ? random.between(1, 8) : 1;
  const parts: Change[] = [];
  let start = change.offset;
  while (start < end) {
    const next = Math.min(end, (Math.floor(start / SECTOR_BYTES) + keepRun) * SECTOR_BYTES);
    if (random.chance(0.5)) parts.push(part(change, start, next));
    start = next;
  }
  return parts;
}

function part(change: Exclude<Change, { kind: 'truncate' }>, start: number, end: number): Change {
  const { file } = change;
  if (change.kind === 'zero') return { kind: 'zero', offset: start, length: end - start, file };
  return { kind: 'write', offset: start, file, data: change.data.subarray(start - change.offset, end - change.offset) };
}

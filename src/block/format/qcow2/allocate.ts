/**
 * Allocating writes: reserving host clusters for guest clusters that have none of their own, and publishing them when the data
 * is there. With extended L2 entries only whole subclusters are filled around the data; without, the cluster is the only one.
 */
import { start, type Co, type MaybePromise } from '../../co.ts';
import type { Allocation, BlockChild } from '../../driver.ts';
import { countEmpty, readEntry, setOwned } from './entries.ts';
import { EMPTY_ENTRY, highestBit, lowestBit, subclusterRange, type ClusterEntry } from './l2-entry.ts';
import type { Metadata } from './metadata.ts';

/** What a run of guest clusters gets. */
interface Plan {
  /** `owned`: it has host clusters already: for data, or reserved for subclusters that hold none yet. */
  readonly kind: 'owned' | 'new';
  readonly count: number;
  /** Of the owned clusters. */
  readonly hostOffset: number;
  readonly first: ClusterEntry;
  readonly last: ClusterEntry;
  /** Nothing changes in the table: all that is touched holds data, and was only looked at before the first write. */
  readonly published: boolean;
}

/** The guest clusters that a request begins in, all in one slice, and where in the first of them it begins. */
interface Place {
  readonly slice: number;
  readonly index: number;
  readonly inCluster: number;
  /** Bytes. */
  readonly length: number;
}

/**
 * @see FormatImage.allocate
 * @throws BlockError `permission`, `corrupt`, `no-space`, and what the storage throws
 */
export function* allocate(metadata: Metadata, guestOffset: number, length: number): Co<Allocation> {
  return yield* metadata.lock.run(function* () {
    metadata.assertWritable();
    const { clusterSize, entriesPerSlice, sliceSpan } = metadata.geometry;
    const slice = Math.floor(guestOffset / sliceSpan);
    const slot = yield* metadata.writableSlice(slice);
    const within = guestOffset - slice * sliceSpan;
    const index = Math.floor(within / clusterSize);
    const inCluster = within - index * clusterSize;
    const most = (entriesPerSlice - index) * clusterSize - inCluster;
    const place = { slice, index, inCluster, length: Math.min(length, most) };
    const plan = planRun(metadata, slot, place);
    if (plan.kind === 'owned') return new ClusterAllocation(metadata, place, plan, false);
    if (metadata.geometry.externalData) {
      const hostOffset = guestOffset - inCluster;
      return new ClusterAllocation(metadata, place, { ...plan, hostOffset }, hostOffset >= metadata.dataStore.length);
    }
    const run = yield* metadata.allocator.take(plan.count);
    const taken = { ...plan, count: run.count, hostOffset: run.first * clusterSize };
    return new ClusterAllocation(metadata, place, taken, run.fresh);
  });
}

/** Which clusters from the place on can be handled alike. */
function planRun(metadata: Metadata, slot: number, { slice, index, inCluster, length }: Place): Plan {
  const { clusterSize } = metadata.geometry;
  const wanted = Math.ceil((inCluster + length) / clusterSize);
  const empty = countEmpty(metadata, slot, index, wanted);
  const first = empty > 0 ? EMPTY_ENTRY : readEntry(metadata, slot, slice, index);
  const follows = (entry: ClusterEntry, count: number): boolean =>
    entry.copied === first.copied && (!first.copied || entry.hostOffset === first.hostOffset + count * clusterSize);
  const isStored = ({ alloc }: ClusterEntry, count: number): boolean => {
    const from = count === 0 ? inCluster : 0;
    return (touched(metadata, from, inCluster + length - count * clusterSize) & ~alloc) === 0;
  };
  let last = first;
  let published = first.copied && isStored(first, 0);
  let count = Math.max(empty, 1);
  for (; count < wanted; count++) {
    const entry = readEntry(metadata, slot, slice, index + count);
    if (!follows(entry, count)) break;
    published &&= isStored(entry, count);
    last = entry;
  }
  return { kind: first.copied ? 'owned' : 'new', count, hostOffset: first.hostOffset, first, last, published };
}

/** The bits of the subclusters that bytes `from` up to `to` of a cluster lie in. `to` may be behind its end. */
function touched({ geometry }: Metadata, from: number, to: number): number {
  const { clusterSize, subclusterSize } = geometry;
  return subclusterRange(Math.floor(from / subclusterSize), Math.ceil(Math.min(to, clusterSize) / subclusterSize));
}

class ClusterAllocation implements Allocation {
  readonly child: BlockChild;
  readonly hostOffset: number;
  readonly length: number;
  readonly copyBefore: number;
  readonly copyAfter: number;
  readonly zeroed: boolean;
  readonly #metadata: Metadata;
  readonly #place: Place;
  readonly #plan: Plan;
  #done: boolean;

  constructor(metadata: Metadata, place: Place, plan: Plan, fresh: boolean) {
    const { clusterSize } = metadata.geometry;
    const { inCluster } = place;
    this.#metadata = metadata;
    this.#place = place;
    this.#plan = plan;
    this.#done = plan.published;
    this.child = metadata.dataChild(plan.hostOffset, guestOffsetOf(metadata, place));
    this.hostOffset = plan.hostOffset + inCluster;
    this.length = Math.min(place.length, plan.count * clusterSize - inCluster);
    this.copyBefore = bytesBefore(metadata, plan, inCluster);
    this.copyAfter = bytesAfter(metadata, plan, inCluster + this.length - (plan.count - 1) * clusterSize);
    // Zeroes that were never written are not zeroes when they are decrypted.
    this.zeroed = fresh && metadata.settings.encryption === undefined;
  }

  commit(): MaybePromise<void> {
    if (this.#done) return;
    return start(this.#metadata.lock.run(() => this.#publish()));
  }

  /** What was taken is given back with the next flush: nobody refers to it. */
  abort(): void {
    if (this.#done) return;
    this.#done = true;
    if (this.#plan.kind === 'owned' || this.#metadata.geometry.externalData) return;
    const { hostOffset, count } = this.#plan;
    this.#metadata.frees.add(hostOffset / this.#metadata.geometry.clusterSize, count, false);
  }

  *#publish(): Co<void> {
    const metadata = this.#metadata;
    const { clusterSize, subclusters } = metadata.geometry;
    const { slice, index, inCluster } = this.#place;
    const { count, hostOffset: firstOffset } = this.#plan;
    let slot: number;
    try {
      slot = yield* metadata.writableSlice(slice);
    } catch (error) {
      this.abort();
      throw error;
    }
    this.#done = true;
    const from = inCluster - this.copyBefore;
    const to = inCluster + this.length + this.copyAfter;
    // Where nothing was, nothing is given up.
    const empty = subclusters === 1 ? countEmpty(metadata, slot, index, count) : 0;
    setOwned(metadata, slot, index, empty, firstOffset);
    for (let at = empty; at < count; at++) {
      const old = readEntry(metadata, slot, slice, index + at);
      const stored = touched(metadata, at === 0 ? from : 0, to - at * clusterSize);
      const hostOffset = firstOffset + at * clusterSize;
      metadata.setCluster(slot, index + at, {
        allocated: true,
        hostOffset,
        copied: true,
        alloc: (old.alloc | stored) >>> 0,
        zero: (old.zero & ~stored) >>> 0,
      });
      if (old.hostOffset !== hostOffset) metadata.giveBack(old, metadata.settings.passDiscardOther);
    }
  }
}

function guestOffsetOf({ geometry }: Metadata, { slice, index }: Place): number {
  return slice * geometry.sliceSpan + index * geometry.clusterSize;
}

/** Bytes before the data that must be copied: to the beginning of a subcluster, or of all that another host cluster holds. */
function bytesBefore({ geometry }: Metadata, { kind, first: { alloc } }: Plan, inCluster: number): number {
  const { subclusterSize } = geometry;
  const subcluster = Math.floor(inCluster / subclusterSize);
  if (kind === 'owned' && (alloc & (2 ** subcluster)) !== 0) return 0;
  return inCluster - Math.min(subcluster, kind === 'owned' ? subcluster : lowestBit(alloc)) * subclusterSize;
}

/** The same behind the data. @param end where in the last cluster it ends */
function bytesAfter({ geometry }: Metadata, { kind, last: { alloc } }: Plan, end: number): number {
  const { subclusterSize } = geometry;
  const subcluster = Math.ceil(end / subclusterSize) - 1;
  if (kind === 'owned' && (alloc & (2 ** subcluster)) !== 0) return 0;
  return (Math.max(subcluster, kind === 'owned' ? subcluster : highestBit(alloc)) + 1) * subclusterSize - end;
}

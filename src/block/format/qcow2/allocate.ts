/**
 * Allocating writes: reserving host clusters for guest clusters that have none of their own, and publishing them when the data
 * is there.
 */
import { start, type Co, type MaybePromise } from '../../co.ts';
import type { Allocation, BlockChild } from '../../driver.ts';
import { decodeEntry, entryLow, ownedHigh, type ClusterEntry } from './l2-entry.ts';
import { ENTRY_LENGTH } from './layout.ts';
import { compressedCluster } from './map.ts';
import type { Metadata } from './metadata.ts';

/** What a run of guest clusters gets. */
interface Plan {
  /** `owned`: it has host clusters already, for data or reserved under a zero flag. */
  readonly kind: 'owned' | 'new';
  readonly count: number;
  /** Of the owned clusters. */
  readonly hostOffset: number;
  /** Nothing changes in the table: the clusters hold data, and were only looked at before the first write. */
  readonly published: boolean;
}

/**
 * @see FormatImage.allocate
 * @throws BlockError `permission`, `corrupt`, `unsupported` (a compressed cluster), `no-space`, and what the storage throws
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
    const wanted = Math.min(Math.ceil((inCluster + length) / clusterSize), entriesPerSlice - index);
    const plan = planRun(metadata, slot, { slice, index, wanted });
    const place = { slice, index, count: plan.count };
    if (plan.kind === 'owned') {
      return new ClusterAllocation(metadata, place, plan, { inCluster, length, fresh: false });
    }
    const run = yield* metadata.allocator.take(plan.count);
    return new ClusterAllocation(
      metadata,
      { ...place, count: run.count },
      { ...plan, hostOffset: run.first * clusterSize },
      { inCluster, length, fresh: run.fresh },
    );
  });
}

/** Which clusters from `index` on, in one slice, can be handled alike. */
function planRun(
  metadata: Metadata,
  slot: number,
  { slice, index, wanted }: { slice: number; index: number; wanted: number },
): Plan {
  const { clusterSize } = metadata.geometry;
  const first = readEntry(metadata, slot, slice, index);
  if (first.kind === 'compressed') throw compressedCluster(guestOffsetOf(metadata, slice, index));
  const follows = (entry: ClusterEntry, count: number): boolean =>
    first.copied
      ? entry.copied && entry.kind === first.kind && entry.hostOffset === first.hostOffset + count * clusterSize
      : !entry.copied && entry.kind !== 'compressed';
  let count = 1;
  while (count < wanted && follows(readEntry(metadata, slot, slice, index + count), count)) count++;
  return {
    kind: first.copied ? 'owned' : 'new',
    count,
    hostOffset: first.hostOffset,
    published: first.copied && first.kind === 'data',
  };
}

/** Decodes an entry of a slice that is in the cache. */
export function readEntry(metadata: Metadata, slot: number, slice: number, index: number): ClusterEntry {
  const view = metadata.l2.view(slot);
  const at = metadata.l2.start(slot) + index * ENTRY_LENGTH;
  return decodeEntry(
    view.getUint32(at),
    view.getUint32(at + 4),
    metadata.geometry,
    guestOffsetOf(metadata, slice, index),
  );
}

function guestOffsetOf({ geometry }: Metadata, slice: number, index: number): number {
  return slice * geometry.sliceSpan + index * geometry.clusterSize;
}

class ClusterAllocation implements Allocation {
  readonly child: BlockChild;
  readonly hostOffset: number;
  readonly length: number;
  readonly copyBefore: number;
  readonly copyAfter: number;
  readonly zeroed: boolean;
  readonly #metadata: Metadata;
  readonly #slice: number;
  readonly #index: number;
  readonly #count: number;
  readonly #plan: Plan;
  #done: boolean;

  constructor(
    metadata: Metadata,
    place: { readonly slice: number; readonly index: number; readonly count: number },
    plan: Plan,
    request: { readonly inCluster: number; readonly length: number; readonly fresh: boolean },
  ) {
    const { clusterSize } = metadata.geometry;
    const { inCluster } = request;
    this.#metadata = metadata;
    this.#slice = place.slice;
    this.#index = place.index;
    this.#count = place.count;
    this.#plan = plan;
    this.#done = plan.published;
    this.child = metadata.file;
    this.hostOffset = plan.hostOffset + inCluster;
    this.length = Math.min(request.length, place.count * clusterSize - inCluster);
    this.copyBefore = plan.published ? 0 : inCluster;
    this.copyAfter = plan.published ? 0 : place.count * clusterSize - inCluster - this.length;
    this.zeroed = request.fresh;
  }

  commit(): MaybePromise<void> {
    if (this.#done) return;
    return start(this.#metadata.lock.run(() => this.#publish()));
  }

  /** What was taken is given back with the next flush: nobody refers to it. */
  abort(): void {
    if (this.#done) return;
    this.#done = true;
    if (this.#plan.kind === 'owned') return;
    const first = this.#plan.hostOffset / this.#metadata.geometry.clusterSize;
    this.#metadata.frees.add(first, this.#count, false);
  }

  *#publish(): Co<void> {
    const metadata = this.#metadata;
    const { clusterSize } = metadata.geometry;
    let slot: number;
    try {
      slot = yield* metadata.writableSlice(this.#slice);
    } catch (error) {
      this.abort();
      throw error;
    }
    this.#done = true;
    for (let index = 0; index < this.#count; index++) {
      const old = readEntry(metadata, slot, this.#slice, this.#index + index);
      const hostOffset = this.#plan.hostOffset + index * clusterSize;
      metadata.setEntry(slot, this.#index + index, ownedHigh(hostOffset), entryLow(hostOffset));
      if (old.hostOffset === 0 || old.hostOffset === hostOffset) continue;
      metadata.frees.add(old.hostOffset / clusterSize, 1, metadata.settings.passDiscardOther);
    }
  }
}

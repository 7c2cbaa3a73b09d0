/**
 * Refcounts as they are to be, beside those that count now: so the counts of any number of clusters change at one moment, with all
 * that goes with them, by the write of the header's first sector that leads to them.
 *
 * A block is copied when one of its counts changes for the first time, and its copy then changes through a cache. Blocks in which
 * nothing changes belong to the old table and to the new one. So this takes the memory of a refcount cache and of a refcount table,
 * however many clusters there are.
 *
 * What is taken meanwhile is counted by the old ones as well, so that nobody else takes it. An error or a power cut before the switch
 * leaves clusters that are counted and not used, and changes nothing else.
 *
 * Everything here runs under the image's metadata lock, on an image that is settled.
 */
import { settle, type Co } from '../../co.ts';
import { EntryTable } from './entry-table.ts';
import type { Qcow2Header } from './header.ts';
import type { Metadata } from './metadata.ts';
import { PendingFrees, type FreedRun } from './pending-frees.ts';
import { wrongCount, type Refcounts } from './refcounts.ts';

/** New structures that are in the file: what the header needs to lead to them, and the table. */
export interface WrittenRefcounts {
  readonly fields: Pick<Qcow2Header, 'refcountTableOffset' | 'refcountTableClusters'>;
  readonly table: Uint8Array<ArrayBuffer>;
}

export class NextRefcounts {
  readonly #metadata: Metadata;
  readonly #old: Refcounts;
  /** The blocks that were copied, and no others. */
  readonly #own: Refcounts;
  /** To be given back if all this comes to nothing. */
  readonly #taken = new PendingFrees();
  /** Tables that only the old header needs, if the file is to be told. */
  readonly #givenUp = new PendingFrees();
  /** The clusters of old blocks whose copies still count them. */
  #replaced: number[] = [];

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
    this.#old = metadata.refcounts;
    this.#own = this.#old.withoutBlocks();
  }

  /** How often a cluster will be used. */
  get(cluster: number): Co<number> {
    return this.#isOwn(this.#blockOf(cluster)) ? this.#own.get(cluster) : this.#old.get(cluster);
  }

  /**
   * Counts clusters up or down by one.
   *
   * @throws BlockError `corrupt` when a count would become negative or there is no block for it, `unsupported` when it would no longer
   *   fit, `no-space`, and what the storage throws
   */
  *change(first: number, count: number, delta: 1 | -1): Co<void> {
    const { cache } = this.#own;
    if (delta < 0) this.#metadata.file.event('cluster_free');
    for (let at = 0; at < count;) {
      const block = this.#blockOf(first + at);
      if (!this.#isOwn(block)) yield* this.#copyBlock(block, first + at);
      if (cache.dirtyCount >= cache.capacity / 2) {
        // Nothing leads there before the switch, so that the flush before it is enough.
        yield* cache.writeDirty();
        cache.keepWritten();
      }
      at += yield* this.#own.change(first + at, count - at, delta);
    }
  }

  /** Writes a table to clusters of its own. @returns where it is; 0: it is empty. @throws BlockError as `change` */
  *place(bytes: Uint8Array): Co<number> {
    if (bytes.length === 0) return 0;
    const { file, geometry } = this.#metadata;
    const count = Math.ceil(bytes.length / geometry.clusterSize);
    const offset = (yield* this.#take(count)) * geometry.clusterSize;
    // Up to the end of its clusters, so that the file reaches as far as they do.
    const padded = new Uint8Array(count * geometry.clusterSize);
    padded.set(bytes);
    yield* settle(file.write(offset, padded));
    return offset;
  }

  /** The header will not lead to a table any more: takes a reference from each of its clusters. @throws BlockError as `change` */
  *giveUp(offset: number, length: number): Co<void> {
    if (offset === 0 || length === 0) return;
    const { geometry, settings } = this.#metadata;
    const count = Math.ceil(length / geometry.clusterSize);
    yield* this.change(offset / geometry.clusterSize, count, -1);
    if (settings.passDiscardOther) this.#givenUp.add(offset / geometry.clusterSize, count, true);
  }

  /**
   * Writes the counts and a table that leads to them, behind all other changes. The next flush makes them stable.
   *
   * @throws BlockError as `change`
   */
  *write(): Co<WrittenRefcounts> {
    const { file, geometry } = this.#metadata;
    const { clusterSize } = geometry;
    const { offset, clusters } = yield* this.#replaceStructures();
    const table = new EntryTable(offset, this.#old.table.grown(clusters * clusterSize));
    for (let block = 0; block < this.#own.table.entries; block++) {
      if (this.#isOwn(block)) table.set(block, this.#own.table.high(block), this.#own.table.low(block));
    }
    // Those that both have may count what was taken.
    yield* this.#old.cache.writeDirty();
    yield* this.#own.cache.writeDirty();
    file.event('refblock_alloc_write_table');
    const bytes = table.grown(table.length);
    yield* settle(file.write(offset, bytes));
    return { fields: { refcountTableOffset: offset, refcountTableClusters: clusters }, table: bytes };
  }

  /** It comes to nothing, and the old header is the one on the disk: what was taken is free with the next flush. */
  abandon(): void {
    for (const { first, count } of this.#taken.take()) this.#metadata.frees.add(first, count, false);
  }

  /** Tables that the header led to before, if the file is to be told of them. They may be in use elsewhere still. */
  takeGivenUp(): readonly FreedRun[] {
    return this.#givenUp.take();
  }

  /** Takes clusters in a row. @returns the first one */
  *#take(count: number): Co<number> {
    const { first } = yield* this.#metadata.allocator.take(count, { exact: true });
    this.#taken.add(first, count, false);
    for (let at = 0; at < count;) {
      const block = this.#blockOf(first + at);
      const length = Math.min(count - at, (block + 1) * this.#old.countsPerBlock - first - at);
      // A copy that is still to be made has them from the old block.
      if (this.#isOwn(block)) yield* this.change(first + at, length, 1);
      at += length;
    }
    return first;
  }

  /** @param cluster whose count is to change, for the message */
  *#copyBlock(block: number, cluster: number): Co<void> {
    const { file, geometry } = this.#metadata;
    const old = this.#old.blockOffset(block);
    if (old === 0) throw wrongCount(cluster, 0);
    const offset = (yield* this.#take(1)) * geometry.clusterSize;
    file.event('refblock_alloc_write');
    yield* settle(file.write(offset, yield* this.#old.blockBytes(block)));
    // The old table may have had to grow for what was taken.
    const { table } = this.#own;
    if (block >= table.entries) this.#own.table = new EntryTable(0, table.grown(this.#old.table.length));
    this.#own.setBlockOffset(block, offset);
    this.#replaced.push(old / geometry.clusterSize);
  }

  /**
   * Takes a place for the new table, and gives up the old one and the old blocks. That copies more blocks, which may make the
   * old table grow: repeated until there is nothing left to copy.
   */
  *#replaceStructures(): Co<{ offset: number; clusters: number }> {
    const { clusterSize } = this.#metadata.geometry;
    let first = 0;
    let clusters = 0;
    for (;;) {
      const { table } = this.#old;
      const wanted = table.length / clusterSize;
      if (wanted > clusters) {
        if (clusters > 0) yield* this.change(first, clusters, -1);
        first = yield* this.#take(wanted);
        clusters = wanted;
      }
      yield* this.#giveUpReplaced();
      yield* this.#copyBlocksOf(table);
      if (this.#replaced.length > 0 || table !== this.#old.table) continue;
      // All of its counts are in blocks that were copied, so this takes nothing any more.
      yield* this.giveUp(table.offset, table.length);
      return { offset: first * clusterSize, clusters };
    }
  }

  *#giveUpReplaced(): Co<void> {
    const { clusterSize } = this.#metadata.geometry;
    const replaced = this.#replaced;
    this.#replaced = [];
    for (const cluster of replaced) yield* this.giveUp(cluster * clusterSize, clusterSize);
  }

  /** Copies the blocks that count the clusters of a table. */
  *#copyBlocksOf({ offset, length }: EntryTable): Co<void> {
    const { clusterSize } = this.#metadata.geometry;
    const last = (offset + length) / clusterSize - 1;
    for (let block = this.#blockOf(offset / clusterSize); block <= this.#blockOf(last); block++) {
      if (!this.#isOwn(block)) yield* this.#copyBlock(block, offset / clusterSize);
    }
  }

  #blockOf(cluster: number): number {
    return Math.floor(cluster / this.#old.countsPerBlock);
  }

  #isOwn(block: number): boolean {
    return this.#own.blockOffset(block) !== 0;
  }
}

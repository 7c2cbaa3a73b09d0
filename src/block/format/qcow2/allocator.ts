/**
 * Finding and taking free clusters of the file, and growing the refcount structures when they do not reach. Everything here runs
 * under the image's metadata lock.
 *
 * Source: qcow2 specification, "Host cluster management".
 */
import { settle, type Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { hintDiscard } from './data-file.ts';
import { EntryTable } from './entry-table.ts';
import { ENTRY_LENGTH, MAX_REFCOUNT_TABLE_BYTES } from './layout.ts';
import type { Metadata } from './metadata.ts';
import type { FreedRun } from './pending-frees.ts';

/** Clusters of the file that belong to the caller now. */
export interface HostRun {
  /** Cluster number. */
  readonly first: number;
  readonly count: number;
  /** Nothing was ever written there: it lies past what was the end of the file, and reads as zeroes. */
  readonly fresh: boolean;
}

export class ClusterAllocator {
  readonly #metadata: Metadata;
  /** No cluster below is free. */
  #firstFree = 0;
  /** Where the search for several clusters in a row begins: holes too small for the last one are behind it. */
  #runHint = 0;
  /** From this cluster on nothing was ever written. */
  #freshFrom: number;
  /** Where the next compressed cluster goes, behind the last one in its host cluster. 0: into a new one. QEMU: free_byte_offset. */
  #nextByte = 0;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
    this.#freshFrom = this.#fileClusters();
  }

  /** Looks at the file anew: a repair may have freed or taken anything. */
  restart(): void {
    this.#firstFree = 0;
    this.#runHint = 0;
    this.#nextByte = 0;
    this.#freshFrom = Math.max(this.#freshFrom, this.#fileClusters());
  }

  #fileClusters(): number {
    const { file, geometry } = this.#metadata;
    return Math.ceil(file.length / geometry.clusterSize);
  }

  /** Where clusters begin that nothing was ever written to. */
  get freshFrom(): number {
    return this.#freshFrom;
  }

  /**
   * Bytes that the file must have to hold all that was taken: whole clusters, or, where compressed ones end it, whole sectors. QEMU
   * reads what is missing behind the end as zeroes; other programs take such a file for cut off.
   */
  get lengthTaken(): number {
    const { clusterSize } = this.#metadata.geometry;
    const compressedLast = this.#nextByte > (this.#freshFrom - 1) * clusterSize;
    return compressedLast ? Math.ceil(this.#nextByte / SECTOR_SIZE) * SECTOR_SIZE : this.#freshFrom * clusterSize;
  }

  /** The file was cut to so many clusters: what follows will read as zeroes. */
  fileWasCut(clusters: number): void {
    this.#freshFrom = clusters;
  }

  /**
   * Takes clusters in a row.
   *
   * @param wanted how many
   * @param options `exact`: not fewer than wanted; `from`: not before this cluster
   * @throws BlockError `no-space` when the file cannot grow further, `corrupt` when metadata lies where the refcounts say it is free
   */
  *take(wanted: number, options: { readonly exact?: boolean; readonly from?: number } = {}): Co<HostRun> {
    const metadata = this.#metadata;
    metadata.assertWritable();
    metadata.file.event('cluster_alloc');
    metadata.announceLazyCounts();
    let behindBlocks: number | undefined;
    for (;;) {
      const start =
        behindBlocks ?? options.from ?? (wanted === 1 ? this.#firstFree : Math.max(this.#firstFree, this.#runHint));
      const { first, firstFree } = yield* metadata.refcounts.findRun(start, wanted);
      const missing = this.#missingBlock(first, wanted);
      const missingFrom = missing * metadata.refcounts.countsPerBlock;
      if (missing >= 0 && (options.exact === true || missingFrom <= first)) {
        if (wanted < metadata.refcounts.countsPerBlock) yield* this.#addBlock(missing, Math.max(first, missingFrom));
        else behindBlocks = (yield* this.#addBlocks(wanted)) ?? behindBlocks;
        continue;
      }
      const count = missing < 0 ? wanted : missingFrom - first;
      const fresh = first >= this.#freshFrom;
      yield* this.#claim(first, count);
      if (start === this.#firstFree) this.#firstFree = firstFree === first ? first + count : firstFree;
      if (options.from === undefined) this.#runHint = first + count;
      return { first, count, fresh };
    }
  }

  /**
   * Takes bytes for a compressed cluster: behind those that were taken last, if they fit there or go on into the next cluster.
   * Each host cluster that they touch counts once more.
   *
   * @param length fewer than a cluster has
   * @param limit they must end before this offset
   * @returns where they begin, in bytes
   * @throws BlockError as `take`
   */
  *takeBytes(length: number, limit: number): Co<number> {
    const metadata = this.#metadata;
    const { clusterSize } = metadata.geometry;
    metadata.assertWritable();
    metadata.file.event('cluster_alloc_bytes');
    metadata.announceLazyCounts();
    const last = Math.floor(this.#nextByte / clusterSize);
    const room = (yield* this.#canShare(last)) ? clusterSize - (this.#nextByte % clusterSize) : 0;
    let offset = this.#nextByte;
    if (length <= room) {
      yield* metadata.refcounts.change(last, 1, 1);
    } else {
      const { first } = yield* this.take(1);
      const goesOn = room > 0 && first === last + 1;
      try {
        if ((first + 1) * clusterSize > limit) throw beyond(limit);
        if (goesOn) yield* metadata.refcounts.change(last, 1, 1);
      } catch (error) {
        metadata.frees.add(first, 1, false);
        throw error;
      }
      if (!goesOn) offset = first * clusterSize;
    }
    const end = offset + length;
    this.#nextByte = end % clusterSize === 0 ? 0 : end;
    return offset;
  }

  /** Whether one more compressed cluster may lie in the host cluster that the last one ended in. */
  *#canShare(cluster: number): Co<boolean> {
    if (this.#nextByte === 0) return false;
    const { refcounts } = this.#metadata;
    return (yield* refcounts.get(cluster)) < refcounts.largest;
  }

  /** The first refcount block that is missing for a run; -1: none is. */
  #missingBlock(first: number, count: number): number {
    const { refcounts } = this.#metadata;
    const last = Math.floor((first + count - 1) / refcounts.countsPerBlock);
    for (let block = Math.floor(first / refcounts.countsPerBlock); block <= last; block++) {
      if (refcounts.blockOffset(block) === 0) return block;
    }
    return -1;
  }

  /** Counts a run of free clusters as used. What was counted when it fails is given back. */
  *#claim(first: number, count: number): Co<void> {
    const { refcounts, frees } = this.#metadata;
    yield* this.#vet(first, count);
    let done = 0;
    try {
      while (done < count) done += yield* refcounts.change(first + done, count - done, 1);
    } catch (error) {
      if (done > 0) frees.add(first, done, false);
      throw error;
    }
  }

  /** Before clusters are used that the refcounts say are free. */
  *#vet(first: number, count: number): Co<void> {
    const { geometry } = this.#metadata;
    const end = (first + count) * geometry.clusterSize;
    if (!Number.isSafeInteger(end)) {
      throw new BlockError('no-space', 'The image file would grow to 2^53 bytes or more');
    }
    yield* this.#metadata.expectFree(
      first * geometry.clusterSize,
      count * geometry.clusterSize,
      `clusters from ${first} on, which are free as the refcounts say,`,
    );
    this.#freshFrom = Math.max(this.#freshFrom, first + count);
  }

  /** Makes a refcount block, in a free cluster that it counts itself. */
  *#addBlock(block: number, cluster: number): Co<void> {
    const { file, geometry, places, refcounts } = this.#metadata;
    if (block >= refcounts.table.entries) {
      yield* this.#growTable();
      return;
    }
    file.event('refblock_alloc');
    yield* this.#vet(cluster, 1);
    const offset = cluster * geometry.clusterSize;
    file.event('refblock_alloc_write');
    yield* settle(file.write(offset, refcounts.newBlock(block, cluster, 1)));
    refcounts.setBlockOffset(block, offset);
    places.addRefcountBlock(offset);
  }

  /**
   * Makes the blocks that count a run which is longer than what one of them counts. They lie in a row before it, behind everything
   * that is counted so far: each at the beginning of its own part they would leave no run of that length.
   *
   * @returns the first cluster of the run; undefined when the refcount table had to grow for them first. Places before it may be free
   *   too, where the table has gaps, but blocks are made for none of these
   */
  *#addBlocks(wanted: number): Co<number | undefined> {
    const { file, geometry, places, refcounts } = this.#metadata;
    const { countsPerBlock, table } = refcounts;
    let block = table.entries;
    while (block > 0 && refcounts.blockOffset(block - 1) === 0) block--;
    const first = block * countsPerBlock;
    const blocks = Math.ceil(wanted / (countsPerBlock - 1));
    if (block + blocks > table.entries) {
      yield* this.#growTable();
      return undefined;
    }
    yield* this.#vet(first, blocks);
    for (let index = 0; index < blocks; index++) {
      const offset = (first + index) * geometry.clusterSize;
      file.event('refblock_alloc_write');
      yield* settle(file.write(offset, refcounts.newBlock(block + index, first, blocks)));
      refcounts.setBlockOffset(block + index, offset);
      places.addRefcountBlock(offset);
    }
    return first + blocks;
  }

  /**
   * Moves the refcount table to a larger one. The new table and the blocks that count them both go where the old table did not
   * reach, in a row: blocks first. The header leads to the new one when that is on the disk, with the next flush.
   */
  *#growTable(): Co<void> {
    const metadata = this.#metadata;
    const { file, geometry, places, refcounts } = metadata;
    const { clusterSize } = geometry;
    const old = refcounts.table;
    const first = old.entries * refcounts.countsPerBlock;
    const { blocks, tableClusters } = this.#planTable(old.entries);
    const used = blocks + tableClusters;
    yield* this.#vet(first, used);
    file.event('reftable_grow');
    const table = new EntryTable((first + blocks) * clusterSize, old.grown(tableClusters * clusterSize));
    for (let index = 0; index < blocks; index++) {
      const offset = (first + index) * clusterSize;
      file.event('refblock_alloc_write_blocks');
      yield* settle(file.write(offset, refcounts.newBlock(old.entries + index, first, used)));
      table.set(old.entries + index, Math.floor(offset / 2 ** 32), offset % 2 ** 32);
    }
    file.event('refblock_alloc_write_table');
    yield* settle(file.write(table.offset, table.grown(table.length)));
    table.keepWritten();
    refcounts.table = table;
    for (let index = 0; index < blocks; index++) places.addRefcountBlock((first + index) * clusterSize);
    metadata.noteRefcountTablePlace();
    file.event('refblock_alloc_switch_table');
    metadata.updateHeader({ refcountTableOffset: table.offset, refcountTableClusters: tableClusters });
    metadata.frees.add(old.offset / clusterSize, old.length / clusterSize, metadata.settings.passDiscardOther);
  }

  /** How large the next refcount table is, half as large again at least, and how many blocks count it and themselves. */
  #planTable(entries: number): { blocks: number; tableClusters: number } {
    const { clusterSize } = this.#metadata.geometry;
    const { countsPerBlock } = this.#metadata.refcounts;
    const generous = Math.min(Math.ceil(entries * 1.5) * ENTRY_LENGTH, MAX_REFCOUNT_TABLE_BYTES);
    for (let blocks = 1; ; blocks++) {
      const tableClusters = Math.ceil(Math.max((entries + blocks) * ENTRY_LENGTH, generous) / clusterSize);
      if (tableClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
        throw new BlockError(
          'no-space',
          'The refcount table of the image has its largest size: the file cannot grow further. Convert it to larger clusters',
        );
      }
      if (blocks * countsPerBlock >= blocks + tableClusters) return { blocks, tableClusters };
    }
  }

  /** Takes away the references that wait in `frees`: nothing on stable storage refers to those clusters any more. */
  *releaseFreed(): Co<void> {
    const { frees } = this.#metadata;
    const runs = frees.take();
    for (const [index, run] of runs.entries()) {
      let done = 0;
      try {
        while (done < run.count) done += yield* this.#release(run, done);
      } catch (error) {
        for (const { first, count, discard } of runs.slice(index + 1)) frees.add(first, count, discard);
        if (error instanceof BlockError && error.kind === 'corrupt') {
          yield* this.#metadata.markCorrupt(`Cluster ${run.first + done} of the file is in use and not counted`);
        }
        frees.add(run.first + done, run.count - done, run.discard);
        throw error;
      }
    }
  }

  *#release({ first, count, discard }: FreedRun, from: number): Co<number> {
    const { file, refcounts } = this.#metadata;
    file.event('cluster_free');
    const unused: FreedRun[] = [];
    const done = yield* refcounts.change(first + from, count - from, -1, (cluster, now) => {
      if (now > 0) return;
      if (cluster === Math.floor(this.#nextByte / this.#metadata.geometry.clusterSize)) this.#nextByte = 0;
      this.#firstFree = Math.min(this.#firstFree, cluster);
      this.#runHint = Math.min(this.#runHint, cluster);
      const last = unused.at(-1);
      if (last !== undefined && last.first + last.count === cluster) {
        unused[unused.length - 1] = { ...last, count: last.count + 1 };
      } else {
        unused.push({ first: cluster, count: 1, discard });
      }
    });
    const { clusterSize } = this.#metadata.geometry;
    if (!discard) return done;
    for (const run of unused) yield* hintDiscard(file, run.first * clusterSize, run.count * clusterSize);
    return done;
  }
}

function beyond(limit: number): BlockError {
  return new BlockError(
    'no-space',
    `Compressed clusters of this size lie before offset ${limit} of the file, and there is no space there any more`,
  );
}

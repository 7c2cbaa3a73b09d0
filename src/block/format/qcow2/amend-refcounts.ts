/**
 * Writing the refcount structures anew with counts of another width. They go behind everything that the file holds. The header
 * leads to the new ones, and says how wide they are, with one write: before it the old ones count, after it the new ones, in which
 * the old ones are free already. QEMU: qcow2_change_refcount_order.
 */
import { settle, type Co } from '../../co.ts';
import type { Progress } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { TimeSlice } from '../../time-slice.ts';
import { switchHeader } from './header-change.ts';
import { ENTRY_LENGTH, MAX_REFCOUNT_TABLE_BYTES } from './layout.ts';
import type { Metadata } from './metadata.ts';
import { refcountValues } from './refcount-values.ts';

/** Where the new structures are: blocks first, the table behind them. In clusters. */
interface NewPlace {
  readonly first: number;
  readonly blocks: number;
  readonly tableClusters: number;
}

/**
 * @param order counts have 2^order bits
 * @throws BlockError `unsupported` when a count does not fit, in qemu-img's words, `no-space` when the file would need a larger
 *   refcount table than there may be, and what the storage throws; then the image has its old counts
 */
export function* changeRefcountWidth(metadata: Metadata, order: number, progress: Progress): Co<void> {
  yield* metadata.lock.run(function* () {
    const place = yield* takePlace(metadata, 2 ** order);
    const { first, blocks, tableClusters } = place;
    try {
      yield* metadata.settleAll();
      yield* writeStructures(metadata, place, 2 ** order, progress);
      yield* settle(metadata.file.flush());
    } catch (error) {
      metadata.frees.add(first, blocks + tableClusters, false);
      throw error;
    }
    const { clusterSize } = metadata.geometry;
    const table = new Uint8Array(tableClusters * clusterSize);
    yield* settle(metadata.file.read((first + blocks) * clusterSize, table));
    yield* switchHeader(metadata, (header) => ({
      ...header,
      refcountTableOffset: (first + blocks) * clusterSize,
      refcountTableClusters: tableClusters,
      refcountOrder: order,
    }));
    metadata.useRefcountTable(table);
  });
}

/** Takes clusters behind all others, so many that the structures there count everything up to their own end. */
function* takePlace(metadata: Metadata, bits: number): Co<NewPlace> {
  const { allocator, frees, geometry } = metadata;
  const perBlock = (geometry.clusterSize * 8) / bits;
  for (let from = allocator.freshFrom; ;) {
    const { blocks, tableClusters } = sizesFor(from, perBlock, geometry.clusterSize);
    const total = blocks + tableClusters;
    const run = yield* allocator.take(total, { exact: true, from });
    if (blocks * perBlock >= run.first + total) return { first: run.first, blocks, tableClusters };
    // Old refcount blocks had to be made before it, and moved it on.
    frees.add(run.first, total, false);
    from = run.first + total;
  }
}

function sizesFor(first: number, perBlock: number, clusterSize: number): { blocks: number; tableClusters: number } {
  for (let blocks = Math.ceil(first / perBlock); ;) {
    const tableClusters = Math.max(1, Math.ceil((blocks * ENTRY_LENGTH) / clusterSize));
    if (tableClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
      throw new BlockError(
        'no-space',
        `Counts that wide need a refcount table of more than ${MAX_REFCOUNT_TABLE_BYTES} bytes: convert the image to larger clusters`,
      );
    }
    const needed = Math.ceil((first + blocks + tableClusters) / perBlock);
    if (needed <= blocks) return { blocks, tableClusters };
    blocks = needed;
  }
}

function* writeStructures(metadata: Metadata, place: NewPlace, bits: number, progress: Progress): Co<void> {
  const { file, geometry } = metadata;
  const { clusterSize } = geometry;
  const { first, blocks, tableClusters } = place;
  const slice = new TimeSlice();
  const old = oldStructures(metadata);
  const table = new Uint8Array(tableClusters * clusterSize);
  const view = new DataView(table.buffer);
  for (let block = 0; block < blocks; block++) {
    const offset = (first + block) * clusterSize;
    yield* settle(file.write(offset, yield* newBlock(metadata, block, bits, old)));
    view.setUint32(block * ENTRY_LENGTH, Math.floor(offset / 2 ** 32));
    view.setUint32(block * ENTRY_LENGTH + 4, offset % 2 ** 32);
    progress.report(block + 1, blocks);
    yield* slice.pause();
  }
  yield* settle(file.write((first + blocks) * clusterSize, table));
}

/** The clusters of the structures as they are now: nothing refers to them any more when the header leads to the new ones. */
function oldStructures({ geometry, refcounts }: Metadata): ReadonlySet<number> {
  const { clusterSize } = geometry;
  const clusters = new Set<number>();
  for (const offset of refcounts.blockOffsets()) clusters.add(offset / clusterSize);
  const { offset, length } = refcounts.table;
  for (let at = 0; at < length; at += clusterSize) clusters.add((offset + at) / clusterSize);
  return clusters;
}

/** The counts of one block, in their new width. */
function* newBlock(metadata: Metadata, block: number, bits: number, old: ReadonlySet<number>): Co<Uint8Array> {
  const { clusterSize } = metadata.geometry;
  const values = refcountValues(bits, clusterSize);
  const bytes = new Uint8Array(clusterSize);
  const view = new DataView(bytes.buffer);
  const begin = block * values.perBlock;
  yield* metadata.refcounts.eachUsed(begin, begin + values.perBlock, (cluster, count) => {
    const now = old.has(cluster) ? count - 1 : count;
    if (now > values.largest) {
      throw new BlockError(
        'unsupported',
        `Cannot decrease refcount entry width to ${bits} bits: Cluster at offset ` +
          `0x${(cluster * clusterSize).toString(16)} has a refcount of ${now}`,
      );
    }
    values.set(view, cluster - begin, now);
  });
  return bytes;
}

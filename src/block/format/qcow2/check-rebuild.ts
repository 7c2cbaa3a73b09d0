/**
 * New refcount structures in place of broken ones. They are written behind everything that is in use, and only when they are on
 * stable storage does the header lead to them: a power cut leaves either the old ones or the new ones.
 */
import { settle, type Co } from '../../co.ts';
import type { CheckedImage, CheckedTables } from './check-image.ts';
import { walkRefcountStructures } from './check-refcounts.ts';
import { ENTRY_LENGTH, FIELD, MAX_REFCOUNT_TABLE_BYTES } from './layout.ts';
import { refcountValues, type RefcountValues } from './refcount-values.ts';

/** Where the new structures go: the blocks one after the other, then the table. */
interface Plan {
  /** Numbers of the blocks that are needed, ascending. */
  readonly blocks: readonly number[];
  /** Cluster of the first block. */
  readonly firstCluster: number;
  readonly tableCluster: number;
  readonly tableClusters: number;
}

/**
 * Writes new refcount structures for the references that were counted, and switches the image to them. The old ones are no
 * longer counted: their clusters are free.
 *
 * @returns whether it could be done; if not, the findings say why
 */
export function* rebuildRefcounts(image: CheckedImage): Co<boolean> {
  const values = refcountValues(image.tables.refcountBits, image.clusterSize);
  // The old structures still count while the place for the new ones is chosen: they are needed until the switch.
  const firstCluster = lastReferred(image) + 1;
  yield* walkRefcountStructures(image, -1);
  const plan = makePlan(image, values, firstCluster);
  const obstacle = obstacleTo(plan, image);
  if (obstacle !== undefined) {
    image.findings.error(`ERROR the refcount structures cannot be rebuilt: ${obstacle}`);
    return false;
  }
  yield* writeBlocks(image, values, plan);
  yield* writeTable(image, plan);
  yield* settle(image.file.flush());
  yield* switchHeader(image, plan);
  image.fileGrew();
  return true;
}

/** Why a plan cannot be carried out, if so. */
function obstacleTo({ tableCluster, tableClusters }: Plan, image: CheckedImage): string | undefined {
  const tableBytes = tableClusters * image.clusterSize;
  if (tableBytes > MAX_REFCOUNT_TABLE_BYTES) {
    return (
      `the refcount table would take ${tableBytes} bytes, and the limit is ${MAX_REFCOUNT_TABLE_BYTES}; ` +
      'convert the image to a larger cluster size'
    );
  }
  return obstacleToGrowth(image, tableCluster + tableClusters);
}

/** Why nothing may be written up to, without, a cluster, if so. */
export function obstacleToGrowth(
  { clusterSize, fileLength, firstOutside }: CheckedImage,
  endCluster: number,
): string | undefined {
  // A cluster in between, because what ends less than a cluster behind the end of a file counts as being in it.
  if (endCluster * clusterSize <= fileLength || endCluster < firstOutside) return undefined;
  // A longer file would have zeroes where something is missing now, and hide that.
  return (
    `the file would become longer, and something at offset 0x${(firstOutside * clusterSize).toString(16)} behind its end is ` +
    'in use: it was cut off. Save what is left with a read-only conversion'
  );
}

/** The last cluster of the file that something refers to. */
export function lastReferred({ references, lastPartlyInside }: CheckedImage): number {
  return Math.max(references.lastUsed(), lastPartlyInside);
}

/** Which blocks are needed depends on how much room they take themselves: repeated until nothing changes. */
function makePlan(image: CheckedImage, { perBlock }: RefcountValues, firstCluster: number): Plan {
  const used: number[] = [];
  for (let block = 0; block * perBlock < firstCluster; block++) {
    const end = Math.min((block + 1) * perBlock, firstCluster);
    if (!image.references.noneIn(block * perBlock, end)) used.push(block);
  }
  const entriesPerCluster = image.clusterSize / ENTRY_LENGTH;
  let structureClusters = 0;
  for (;;) {
    const blocks = [...used];
    const last = Math.floor((firstCluster + structureClusters) / perBlock);
    for (let block = Math.floor(firstCluster / perBlock); block <= last; block++) {
      if (blocks.at(-1) !== block) blocks.push(block);
    }
    const tableClusters = Math.ceil(((blocks.at(-1) ?? 0) + 1) / entriesPerCluster);
    const needed = blocks.length + tableClusters;
    const tableCluster = firstCluster + blocks.length;
    if (needed <= structureClusters) return { blocks, firstCluster, tableCluster, tableClusters };
    structureClusters = needed;
  }
}

function* writeBlocks(image: CheckedImage, values: RefcountValues, plan: Plan): Co<void> {
  const { clusterSize, references } = image;
  const end = plan.tableCluster + plan.tableClusters;
  for (const [index, block] of plan.blocks.entries()) {
    const bytes = new Uint8Array(clusterSize);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < values.perBlock; at++) {
      const cluster = block * values.perBlock + at;
      const isNew = cluster >= plan.firstCluster && cluster < end;
      const count = isNew ? 1 : references.get(cluster);
      if (count > 0) values.set(view, at, Math.min(count, values.largest));
    }
    yield* settle(image.file.write((plan.firstCluster + index) * clusterSize, bytes));
    yield* image.pause(block * values.perBlock);
  }
}

function* writeTable(image: CheckedImage, plan: Plan): Co<void> {
  const bytes = new Uint8Array(plan.tableClusters * image.clusterSize);
  const view = new DataView(bytes.buffer);
  for (const [index, block] of plan.blocks.entries()) {
    const offset = (plan.firstCluster + index) * image.clusterSize;
    view.setUint32(block * ENTRY_LENGTH, Math.floor(offset / 2 ** 32));
    view.setUint32(block * ENTRY_LENGTH + 4, offset % 2 ** 32);
  }
  yield* settle(image.file.write(plan.tableCluster * image.clusterSize, bytes));
}

/** Both fields stand side by side in one sector, so one write changes them together. */
function* switchHeader(image: CheckedImage, plan: Plan): Co<void> {
  const offset = plan.tableCluster * image.clusterSize;
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(offset / 2 ** 32));
  view.setUint32(4, offset % 2 ** 32);
  view.setUint32(8, plan.tableClusters);
  yield* settle(image.file.write(FIELD.refcountTableOffset, bytes));
  yield* settle(image.file.flush());
  const moved: CheckedTables = {
    ...image.tables,
    refcountTableOffset: offset,
    refcountTableClusters: plan.tableClusters,
  };
  image.tables = moved;
}

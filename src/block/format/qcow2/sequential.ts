/**
 * A qcow2 image that is written front to back: all metadata first, then the data clusters in guest order. What is where follows
 * from which clusters hold data, so nothing has to be written twice, and a download needs no seek.
 *
 * Source: qcow2 specification, "Header", "Host cluster management", "Cluster mapping".
 */
import type { SequentialLayout } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { featureNameTable } from './extensions.ts';
import { encodeHeader, type Qcow2Header } from './header.ts';
import {
  DEFAULT_CLUSTER_SIZE,
  DEFAULT_REFCOUNT_ORDER,
  ENTRY_COPIED,
  ENTRY_LENGTH,
  HEADER_LENGTH_V3,
  HEADER_LENGTH_WRITTEN,
  MAX_L1_BYTES,
} from './layout.ts';
import { refcountSizes } from './measure.ts';

export const SEQUENTIAL_CLUSTER_SIZE = DEFAULT_CLUSTER_SIZE;

const CLUSTER = SEQUENTIAL_CLUSTER_SIZE;
const ENTRIES_PER_TABLE = CLUSTER / ENTRY_LENGTH;
const REFCOUNT_BITS = 2 ** DEFAULT_REFCOUNT_ORDER;
const COUNTS_PER_BLOCK = (CLUSTER * 8) / REFCOUNT_BITS;

/** Where everything is. Offsets are in clusters from the start of the file. */
interface Plan {
  readonly virtualSize: number;
  readonly isData: (cluster: number) => boolean;
  readonly guestClusters: number;
  /** How many data clusters each L2 table points to; 0: there is no such table. */
  readonly dataPerTable: Uint32Array;
  readonly refcountTable: number;
  readonly refcountTableClusters: number;
  readonly refcountBlocks: number;
  readonly refcountBlockCount: number;
  readonly l1: number;
  readonly l2: number;
  readonly data: number;
  readonly end: number;
}

/**
 * @param virtualSize bytes, a multiple of 512
 * @param isData whether guest cluster number n (of 64 KiB) holds data; the others read as zero
 * @throws BlockError `invalid` when a disk of that size does not fit into the format
 */
export function layoutSequential(virtualSize: number, isData: (cluster: number) => boolean): SequentialLayout {
  const plan = makePlan(virtualSize, isData);
  return { totalBytes: plan.end * CLUSTER, head: () => head(plan) };
}

function makePlan(virtualSize: number, isData: (cluster: number) => boolean): Plan {
  const guestClusters = Math.ceil(virtualSize / CLUSTER);
  const tables = Math.ceil(guestClusters / ENTRIES_PER_TABLE);
  if (tables * ENTRY_LENGTH > MAX_L1_BYTES) {
    throw new BlockError(
      'invalid',
      `A disk of ${virtualSize} bytes is too large for qcow2 with clusters of ${CLUSTER} bytes`,
    );
  }
  const dataPerTable = new Uint32Array(tables);
  let dataClusters = 0;
  for (let cluster = 0; cluster < guestClusters; cluster++) {
    if (!isData(cluster)) continue;
    dataPerTable[Math.floor(cluster / ENTRIES_PER_TABLE)]!++;
    dataClusters++;
  }
  const l1Clusters = Math.ceil((tables * ENTRY_LENGTH) / CLUSTER);
  const l2Tables = dataPerTable.reduce((count, inTable) => count + (inTable > 0 ? 1 : 0), 0);
  const counted = 1 + l1Clusters + l2Tables + dataClusters;
  const { blocks, tableClusters } = refcountSizes(counted, CLUSTER, REFCOUNT_BITS);
  const refcountBlocks = 1 + tableClusters;
  const l1 = refcountBlocks + blocks;
  const l2 = l1 + l1Clusters;
  return {
    virtualSize,
    isData,
    guestClusters,
    dataPerTable,
    refcountTable: 1,
    refcountTableClusters: tableClusters,
    refcountBlocks,
    refcountBlockCount: blocks,
    l1,
    l2,
    data: l2 + l2Tables,
    end: l2 + l2Tables + dataClusters,
  };
}

function* head(plan: Plan): Iterable<Uint8Array> {
  yield headerCluster(plan);
  yield* refcountTableContents(plan);
  yield* refcountBlockContents(plan);
  yield* l1TableContents(plan);
  yield* l2TableContents(plan);
}

function headerCluster(plan: Plan): Uint8Array {
  const names = featureNameTable(CLUSTER);
  const header: Qcow2Header = {
    version: 3,
    backingFileName: undefined,
    backingFileOffset: 0,
    clusterBits: Math.log2(CLUSTER),
    size: plan.virtualSize,
    cryptMethod: 0,
    l1Size: plan.dataPerTable.length,
    l1TableOffset: plan.l1 * CLUSTER,
    refcountTableOffset: plan.refcountTable * CLUSTER,
    refcountTableClusters: plan.refcountTableClusters,
    nbSnapshots: 0,
    snapshotsOffset: 0,
    incompatibleFeatures: 0n,
    compatibleFeatures: 0n,
    autoclearFeatures: 0n,
    refcountOrder: DEFAULT_REFCOUNT_ORDER,
    headerLength: HEADER_LENGTH_WRITTEN,
    additionalFields: new Uint8Array(HEADER_LENGTH_WRITTEN - HEADER_LENGTH_V3),
    extensions: names === undefined ? [] : [names],
  };
  const cluster = new Uint8Array(CLUSTER);
  cluster.set(encodeHeader(header));
  return cluster;
}

function* refcountTableContents(plan: Plan): Iterable<Uint8Array> {
  for (let piece = 0; piece < plan.refcountTableClusters; piece++) {
    const first = piece * ENTRIES_PER_TABLE;
    yield tableCluster((index) =>
      first + index < plan.refcountBlockCount
        ? { cluster: plan.refcountBlocks + first + index, copied: false }
        : undefined,
    );
  }
}

/** Every cluster of the file is used once. */
function* refcountBlockContents(plan: Plan): Iterable<Uint8Array> {
  for (let block = 0; block < plan.refcountBlockCount; block++) {
    const counts = new Uint8Array(CLUSTER);
    const view = new DataView(counts.buffer);
    const used = Math.min(COUNTS_PER_BLOCK, plan.end - block * COUNTS_PER_BLOCK);
    for (let index = 0; index < used; index++) view.setUint16(index * 2, 1);
    yield counts;
  }
}

function* l1TableContents(plan: Plan): Iterable<Uint8Array> {
  let nextTable = plan.l2;
  for (let piece = 0; piece < plan.l2 - plan.l1; piece++) {
    const first = piece * ENTRIES_PER_TABLE;
    yield tableCluster((index) =>
      (plan.dataPerTable[first + index] ?? 0) > 0 ? { cluster: nextTable++, copied: true } : undefined,
    );
  }
}

function* l2TableContents(plan: Plan): Iterable<Uint8Array> {
  let nextData = plan.data;
  for (let table = 0; table < plan.dataPerTable.length; table++) {
    if (plan.dataPerTable[table] === 0) continue;
    const first = table * ENTRIES_PER_TABLE;
    yield tableCluster((index) =>
      first + index < plan.guestClusters && plan.isData(first + index)
        ? { cluster: nextData++, copied: true }
        : undefined,
    );
  }
}

/** A cluster full of table entries. @param entry what entry number n points to, asked in order */
function tableCluster(entry: (index: number) => { cluster: number; copied: boolean } | undefined): Uint8Array {
  const bytes = new Uint8Array(CLUSTER);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < ENTRIES_PER_TABLE; index++) {
    const target = entry(index);
    if (target === undefined) continue;
    const offset = target.cluster * CLUSTER;
    const high = Math.floor(offset / 2 ** 32) + (target.copied ? ENTRY_COPIED : 0);
    view.setUint32(index * ENTRY_LENGTH, high);
    view.setUint32(index * ENTRY_LENGTH + 4, offset % 2 ** 32);
  }
  return bytes;
}

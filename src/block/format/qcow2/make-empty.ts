/**
 * Giving every cluster of the disk back.
 *
 * Snapshots, bitmaps, an external data file or LUKS have clusters that stay, and version 2 has no dirty bit: there the tables are
 * gone through. Else all of the file is given up at once, whatever it holds:
 *
 *   1. everything is written, and the header says that counts are not to be relied on
 *   2. the L1 table becomes zero where it is; from then on nothing is in use but the header and that table
 *   3. new refcount structures, and if it moves a new L1 table, go to the beginning of the file, never over the old L1 table
 *   4. one write of the header's first sector leads to them, and says that counts are right
 *   5. the file is cut
 *
 * A power cut before step 4 leaves counts that may be anything, and the dirty bit: who opens the image next makes them anew. Each L1
 * entry is there or not, so each part of the disk is as it was or empty.
 */
import { settle, type Co } from '../../co.ts';
import { writeObstacle } from './features.ts';
import { CRYPT_LUKS, INCOMPATIBLE_DIRTY } from './layout.ts';
import type { Metadata } from './metadata.ts';
import { refcountValues } from './refcount-values.ts';
import { cutFile, forgetBehind, zeroFrom } from './resize.ts';

/**
 * @param hasBitmaps the image has persistent bitmaps
 * @throws BlockError what the storage throws
 * @see FormatImage.makeEmpty
 */
export function* makeEmpty(metadata: Metadata, hasBitmaps: boolean): Co<void> {
  metadata.assertWritable();
  const { dataFile } = metadata.settings;
  if (dataFile?.raw === true) {
    yield* zeroFrom(dataFile.child, 0);
    return;
  }
  const layout = hasBitmaps ? undefined : emptyLayout(metadata);
  if (layout !== undefined) {
    yield* metadata.lock.run(() => startAnew(metadata, layout));
    return;
  }
  yield* forgetBehind(metadata, 0);
  yield* metadata.lock.run(function* () {
    yield* metadata.writeBack();
    yield* cutFile(metadata);
  });
}

/** Where the tables of an empty image go. Cluster numbers. */
interface EmptyLayout {
  readonly refcountTable: number;
  readonly refcountBlock: number;
  readonly l1: number;
  readonly l1Clusters: number;
  /** Where the file ends. */
  readonly end: number;
}

/** @returns undefined when the file holds what must stay, or one refcount block does not count what is left */
function emptyLayout({ geometry, header, l1, refcounts, snapshots }: Metadata): EmptyLayout | undefined {
  if (geometry.version === 2 || geometry.externalData) return undefined;
  if (snapshots.length > 0 || header.cryptMethod === CRYPT_LUKS || l1.length === 0) return undefined;
  const l1Clusters = Math.ceil(l1.length / geometry.clusterSize);
  const l1Now = l1.offset / geometry.clusterSize;
  // As in a new image, but that the table stays where it would be in its own way.
  const l1First = l1Now < 3 + l1Clusters ? l1Now : 3;
  const beside = (cluster: number): number => (cluster < l1First ? cluster : cluster + l1Clusters);
  const refcountTable = beside(1);
  const refcountBlock = beside(2);
  const end = Math.max(refcountBlock + 1, l1First + l1Clusters);
  return end > refcounts.countsPerBlock ? undefined : { refcountTable, refcountBlock, l1: l1First, l1Clusters, end };
}

/** Under the lock. */
function* startAnew(metadata: Metadata, layout: EmptyLayout): Co<void> {
  const { allocator, file, geometry, l1 } = metadata;
  metadata.announceCounts();
  yield* metadata.writeBack();
  // What fails from here on leaves the dirty bit.
  metadata.distrustCounts();
  for (let index = 0; index < l1.entries; index++) l1.set(index, 0, 0);
  metadata.l2.clear();
  metadata.noteActiveTables();
  // Nothing that is cached may be written over the new tables.
  yield* metadata.settleAll();
  yield* switchTables(metadata, layout);
  const end = layout.end * geometry.clusterSize;
  if (end >= file.length) return;
  yield* settle(file.truncate(end));
  allocator.fileWasCut(layout.end);
  yield* settle(file.flush());
}

/** When it fails, nobody knows which of the counts are on the disk: nothing more is written then. */
function* switchTables(metadata: Metadata, layout: EmptyLayout): Co<void> {
  const { geometry, settings } = metadata;
  const { clusterSize } = geometry;
  const refcountTable = tableBytes(metadata, layout);
  try {
    yield* writeTables(metadata, layout, refcountTable);
    metadata.updateHeader({
      l1TableOffset: layout.l1 * clusterSize,
      refcountTableOffset: layout.refcountTable * clusterSize,
      refcountTableClusters: 1,
      incompatibleFeatures: metadata.header.incompatibleFeatures & ~INCOMPATIBLE_DIRTY,
    });
    yield* metadata.writeBack();
  } catch (error) {
    metadata.stopWriting(error);
    throw error;
  }
  const l1 = new Uint8Array(metadata.l1.length);
  const tables = { l1, refcountTable, snapshots: { entries: [], length: 0 }, snapshotFault: undefined };
  metadata.replace(metadata.header, tables, writeObstacle(metadata.header, settings.keptUp));
}

function* writeTables(metadata: Metadata, layout: EmptyLayout, refcountTable: Uint8Array): Co<void> {
  const { file, geometry, l1 } = metadata;
  const { clusterSize } = geometry;
  file.event('empty_image_prepare');
  const l1Offset = layout.l1 * clusterSize;
  if (l1Offset !== l1.offset) yield* settle(file.writeZeroes(l1Offset, layout.l1Clusters * clusterSize));
  yield* settle(file.write(layout.refcountBlock * clusterSize, blockBytes(metadata, layout)));
  yield* settle(file.write(layout.refcountTable * clusterSize, refcountTable));
}

function tableBytes({ geometry }: Metadata, { refcountBlock }: EmptyLayout): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(geometry.clusterSize);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(refcountBlock * geometry.clusterSize));
  return bytes;
}

function blockBytes({ geometry, header }: Metadata, layout: EmptyLayout): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(geometry.clusterSize);
  const view = new DataView(bytes.buffer);
  const values = refcountValues(2 ** header.refcountOrder, geometry.clusterSize);
  for (const cluster of [0, layout.refcountTable, layout.refcountBlock]) values.set(view, cluster, 1);
  for (let index = 0; index < layout.l1Clusters; index++) values.set(view, layout.l1 + index, 1);
  return bytes;
}

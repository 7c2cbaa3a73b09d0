/** Between the compatibility levels 0.10 (version 2) and 1.1 (version 3). QEMU: qcow2_upgrade, qcow2_downgrade. */
import { settle, type Co } from '../../co.ts';
import type { Progress } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { TimeSlice } from '../../time-slice.ts';
import { snapshotsInTheWay } from './amend-options.ts';
import type { Qcow2Bitmaps } from './bitmaps.ts';
import { readEntry } from './entries.ts';
import type { EntryTable } from './entry-table.ts';
import { featureNameTable, withExtension } from './extensions.ts';
import { switchHeader } from './header-change.ts';
import { clusterSizeOf, compressionTypeOf, type Qcow2Header } from './header.ts';
import { NO_CLUSTER, type ClusterPlace } from './l2-entry.ts';
import {
  COMPRESSION_ZLIB,
  EXTENSION,
  HEADER_LENGTH_V2,
  HEADER_LENGTH_V3,
  HEADER_LENGTH_WRITTEN,
  INCOMPATIBLE_COMPRESSION,
  L2_COMPRESSED,
  L2_ZERO,
} from './layout.ts';
import type { Metadata } from './metadata.ts';
import { publishTable, readSnapshotL1 } from './snapshot-changes.ts';
import { readTable, tablePlace } from './snapshot-walk.ts';

/** Makes a version 3 of an image of version 2. Entries of snapshots get the fields that version 3 asks for first. */
export function* upgrade(metadata: Metadata): Co<void> {
  yield* metadata.lock.run(function* () {
    if (metadata.snapshots.length > 0) yield* publishTable(metadata, metadata.snapshots);
    yield* metadata.settleAll();
    yield* switchHeader(metadata, asVersion3);
  });
}

function asVersion3(header: Qcow2Header): Qcow2Header {
  const names = featureNameTable(clusterSizeOf(header) - HEADER_LENGTH_WRITTEN);
  const backingFormat = header.extensions.filter(({ type }) => type === EXTENSION.backingFormat);
  const others = header.extensions.filter(({ type }) => type !== EXTENSION.backingFormat);
  return {
    ...header,
    version: 3,
    headerLength: HEADER_LENGTH_WRITTEN,
    additionalFields: new Uint8Array(HEADER_LENGTH_WRITTEN - HEADER_LENGTH_V3),
    // In QEMU's order.
    extensions: [...backingFormat, ...(names === undefined ? [] : [names]), ...others],
  };
}

/**
 * Makes a version 2 of an image of version 3. Zero clusters, which that does not have, become clusters full of zeroes, or nothing
 * where nothing is behind them. Its bitmaps are removed: version 2 cannot say whether they are true.
 *
 * @throws BlockError `unsupported` when version 2 cannot hold what is there, in qemu-img's words; then nothing has changed
 */
export function* downgrade(metadata: Metadata, bitmaps: Qcow2Bitmaps, progress: Progress): Co<void> {
  yield* metadata.lock.run(function* () {
    yield* metadata.settleAll();
    yield* checkContent(metadata);
  });
  const slice = new TimeSlice();
  for (let table = 0; table < metadata.l1.entries; table++) {
    if (metadata.tableOffset(table) !== 0) yield* metadata.lock.run(() => expandTable(metadata, table));
    progress.report(table + 1, metadata.l1.entries);
    yield* slice.pause();
  }
  const { settings } = metadata;
  const compressor = yield* settle(settings.compression.load('deflate'));
  yield* metadata.lock.run(function* () {
    yield* bitmaps.removeAll();
    yield* metadata.settleAll();
    yield* switchHeader(metadata, asVersion2);
    metadata.reconfigure({ compressor, keepDiscarded: false });
  });
}

function asVersion2(header: Qcow2Header): Qcow2Header {
  const extensions = withExtension(header.extensions, EXTENSION.featureNameTable, undefined, 'last');
  return {
    ...header,
    version: 2,
    headerLength: HEADER_LENGTH_V2,
    additionalFields: new Uint8Array(0),
    incompatibleFeatures: 0n,
    compatibleFeatures: 0n,
    autoclearFeatures: 0n,
    extensions: withExtension(extensions, EXTENSION.bitmaps, undefined, 'last'),
  };
}

// ── What stands in the way ──────────────────────────────────────────────────────────────────────────────────────────

function* checkContent(metadata: Metadata): Co<void> {
  const { header, l1, snapshots } = metadata;
  const left = header.incompatibleFeatures & ~INCOMPATIBLE_COMPRESSION;
  if (left !== 0n) {
    throw new BlockError(
      'unsupported',
      `Cannot downgrade an image with incompatible features 0x${left.toString(16)} set`,
    );
  }
  const otherCompression = compressionTypeOf(header) !== COMPRESSION_ZLIB;
  const noCompressed = (high: number): void => {
    if (!otherCompression || (high & L2_COMPRESSED) === 0) return;
    throw new BlockError(
      'unsupported',
      'Cannot downgrade an image with zstd compression type and existing compressed clusters',
    );
  };
  if (otherCompression) yield* eachEntry(metadata, l1, noCompressed);
  for (const entry of snapshots) {
    yield* eachEntry(metadata, yield* readSnapshotL1(metadata, entry), (high, low) => {
      noCompressed(high);
      if ((high & L2_COMPRESSED) !== 0 || (low & L2_ZERO) === 0) return;
      throw snapshotsInTheWay(`, as '${entry.info.name}' holds clusters that are only said to be zero`);
    });
  }
}

/** Visits the entries of all L2 tables, as they are on the disk. */
function* eachEntry(metadata: Metadata, l1: EntryTable, visit: (high: number, low: number) => void): Co<void> {
  const slice = new TimeSlice();
  for (let index = 0; index < l1.entries; index++) {
    if (l1.high(index) === 0 && l1.low(index) === 0) continue;
    const table = yield* readTable(metadata, tablePlace(metadata, l1, index));
    const { entryLength } = metadata.geometry;
    for (let at = 0; at < table.byteLength; at += entryLength) visit(table.getUint32(at), table.getUint32(at + 4));
    yield* slice.pause();
  }
}

// ── Zero clusters ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Under the metadata lock. */
function* expandTable(metadata: Metadata, table: number): Co<void> {
  const { slicesPerTable } = metadata.geometry;
  for (let slice = table * slicesPerTable; slice < (table + 1) * slicesPerTable; slice++) {
    for (let index = yield* nextZero(metadata, slice, 0); index >= 0;) {
      yield* expandCluster(metadata, slice, index);
      index = yield* nextZero(metadata, slice, index + 1);
    }
  }
}

/** The next entry of a slice from `from` on that is a zero cluster; -1: none. */
function* nextZero(metadata: Metadata, slice: number, from: number): Co<number> {
  const slot = yield* metadata.l2.load(slice);
  for (let index = from; index < metadata.geometry.entriesPerSlice; index++) {
    if (readEntry(metadata, slot, slice, index).kind === 'zero') return index;
  }
  return -1;
}

function* expandCluster(metadata: Metadata, slice: number, index: number): Co<void> {
  const { file, geometry, header } = metadata;
  const { clusterSize } = geometry;
  const entry = readEntry(metadata, yield* metadata.writableSlice(slice), slice, index);
  if (entry.allocated && entry.copied) {
    yield* settle(file.writeZeroes(entry.hostOffset, clusterSize));
    yield* setEntry(metadata, slice, index, { ...entry, zero: 0, alloc: 1 });
  } else if (header.backingFileName === undefined) {
    yield* setEntry(metadata, slice, index, NO_CLUSTER);
    metadata.giveBack(entry, metadata.settings.passDiscardOther);
  } else {
    const { first } = yield* metadata.allocator.take(1);
    const hostOffset = first * clusterSize;
    try {
      yield* settle(file.writeZeroes(hostOffset, clusterSize));
    } catch (error) {
      metadata.frees.add(first, 1, false);
      throw error;
    }
    yield* setEntry(metadata, slice, index, { allocated: true, hostOffset, copied: true, zero: 0, alloc: 1 });
    metadata.giveBack(entry, metadata.settings.passDiscardOther);
  }
}

function* setEntry(metadata: Metadata, slice: number, index: number, place: ClusterPlace): Co<void> {
  const slot = yield* metadata.writableSlice(slice);
  metadata.setCluster(slot, index, place);
}

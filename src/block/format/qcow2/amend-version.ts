/** Between the compatibility levels 0.10 (version 2) and 1.1 (version 3). QEMU: qcow2_upgrade, qcow2_downgrade. */
import { settle, type Co } from '../../co.ts';
import type { Progress } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { TimeSlice } from '../../time-slice.ts';
import { expandSnapshots, expandTable } from './amend-zero.ts';
import type { Qcow2Bitmaps } from './bitmaps.ts';
import type { EntryTable } from './entry-table.ts';
import { featureNameTable, withExtension } from './extensions.ts';
import { switchHeader } from './header-change.ts';
import { clusterSizeOf, compressionTypeOf, type Qcow2Header } from './header.ts';
import {
  COMPRESSION_ZLIB,
  EXTENSION,
  HEADER_LENGTH_V2,
  HEADER_LENGTH_V3,
  HEADER_LENGTH_WRITTEN,
  INCOMPATIBLE_COMPRESSION,
  L2_COMPRESSED,
} from './layout.ts';
import type { Metadata } from './metadata.ts';
import { readSnapshotL1 } from './snapshot-changes.ts';
import { placeSnapshots, settleSwitch, switchTables } from './snapshot-switch.ts';
import { readTable, tablePlace } from './snapshot-walk.ts';

/** Makes a version 3 of an image of version 2. Entries of snapshots get the fields that version 3 asks for first. */
export function* upgrade(metadata: Metadata): Co<void> {
  yield* metadata.lock.run(function* () {
    yield* metadata.settleAll();
    if (metadata.snapshots.length > 0) yield* rewriteSnapshotTable(metadata);
    yield* switchHeader(metadata, asVersion3);
  });
}

function* rewriteSnapshotTable(metadata: Metadata): Co<void> {
  const { l1, snapshots } = metadata;
  const next = yield* switchTables(metadata, function* (counts) {
    return { l1, snapshots: yield* placeSnapshots(metadata, counts, snapshots) };
  });
  yield* settleSwitch(metadata, next);
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
 * where nothing is behind them, in snapshots too. Its bitmaps are removed: version 2 cannot say whether they are true.
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
  yield* metadata.lock.run(() => expandSnapshots(metadata));
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
    if ((high & L2_COMPRESSED) === 0) return;
    throw new BlockError(
      'unsupported',
      'Cannot downgrade an image with zstd compression type and existing compressed clusters',
    );
  };
  if (!otherCompression) return;
  yield* eachEntry(metadata, l1, noCompressed);
  for (const entry of snapshots) yield* eachEntry(metadata, yield* readSnapshotL1(metadata, entry), noCompressed);
}

/** Visits the entries of all L2 tables, as they are on the disk. */
function* eachEntry(metadata: Metadata, l1: EntryTable, visit: (high: number) => void): Co<void> {
  const slice = new TimeSlice();
  for (let index = 0; index < l1.entries; index++) {
    if (l1.high(index) === 0 && l1.low(index) === 0) continue;
    const table = yield* readTable(metadata, tablePlace(metadata, l1, index));
    const { entryLength } = metadata.geometry;
    for (let at = 0; at < table.byteLength; at += entryLength) visit(table.getUint32(at));
    yield* slice.pause();
  }
}

/**
 * Checking a qcow2 image, and repairing it: who refers to which cluster, is that what the refcounts say, and do the flags in the
 * tables follow them. Findings and counts are qemu-img's.
 *
 * A repair raises and lowers refcounts, mends flags, drops reservations of space where none can be, and builds the refcount
 * structures anew when they are broken. It never moves or drops data: what is not in the file is not mended. Dirty
 * bitmaps that are broken are dropped, as the image could not be written with them; the others stay.
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild, CheckFix, CheckResult } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { directoryPlace, encodeExtension } from './bitmap-directory.ts';
import { rewriteBitmaps } from './check-bitmap-repair.ts';
import { checkCopiedFlags } from './check-copied.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import { CheckedImage, type CheckedTables, type CheckOptions, type Region } from './check-image.ts';
import { compareRefcounts, walkRefcountStructures, type Comparison } from './check-refcounts.ts';
import { rebuildRefcounts } from './check-rebuild.ts';
import { rewriteSnapshots } from './check-snapshot-repair.ts';
import { scanSnapshots } from './check-snapshots.ts';
import { walkReferences } from './check-walk.ts';
import { extensionOffset, findExtension, withExtension } from './extensions.ts';
import { clusterSizeOf, encodeFields, hasDataFile, l2EntryLengthOf, type Qcow2Header } from './header.ts';
import { AUTOCLEAR_BITMAPS, EXTENSION, FIELD, INCOMPATIBLE_CORRUPT, INCOMPATIBLE_DIRTY } from './layout.ts';

export interface CheckOutcome {
  readonly result: CheckResult;
  /** The header as it is in the file afterwards: a repair may move the refcount table and clear the dirty and corrupt bits. */
  readonly header: Qcow2Header;
}

/**
 * Checks an image. Nothing of it may be waiting in a cache to be written, and nothing may be written meanwhile. Memory goes by
 * the number of clusters in the file, time by the bytes in it.
 *
 * @param header as it is in the file
 * @param fix 'leaks' lowers refcounts, and mends flags if nothing else is wrong; 'all' mends what can be mended
 * @throws BlockError `io` and what else the storage throws, `aborted` by way of `options.progress`, `unsupported` when the file has more
 *   clusters than a check can count
 */
export function* checkImage(
  file: BlockChild,
  header: Qcow2Header,
  fix: CheckFix,
  options: CheckOptions = {},
): Co<CheckOutcome> {
  const tables = tablesOf(header);
  const image = new CheckedImage(file, tables, fix, options);
  const snapshots = yield* scanSnapshots(image);
  if (snapshots === undefined) return { result: resultOf(image), header };
  const bitmaps = yield* walkReferences(image, snapshots.l1Tables);
  const structure = yield* walkRefcountStructures(image, 1);
  yield* rewriteSnapshots(image, snapshots, structure.clean);
  yield* rewriteBitmaps(image, bitmaps, structure.clean);
  const { isOne } = yield* settleRefcounts(image, structure);
  if (fix !== 'none') yield* settle(file.flush());
  yield* checkCopiedFlags(image, { isOne });
  if (fix === 'none') return { result: resultOf(image), header };
  yield* settle(file.flush());
  const { refcountTableOffset, refcountTableClusters, snapshotsOffset, snapshotCount: nbSnapshots } = image.tables;
  const moved = { refcountTableOffset, refcountTableClusters, snapshotsOffset, nbSnapshots };
  const repaired = { ...withBitmaps(header, image.tables, tables), ...moved };
  const sound = image.findings.errors === 0 && image.findings.corruptions === 0;
  return { result: resultOf(image), header: sound ? yield* markClean(file, repaired) : repaired };
}

/**
 * Repairs an image that was not closed, at open: with lazy refcounts these may be wrong, with the dirty bit set nothing may be
 * allocated before they are right.
 *
 * @returns the header as it is in the file afterwards, without the dirty bit
 * @throws BlockError `corrupt` when the image has damage that a repair cannot mend; what `checkImage` throws
 */
export function* repairDirty(file: BlockChild, header: Qcow2Header): Co<Qcow2Header> {
  const { result, header: repaired } = yield* checkImage(file, header, 'all', { keepsBitmaps: true });
  if (result.corruptions > 0 || result.checkErrors > 0) {
    const [first] = result.findings.filter(({ fixed, kind }) => !fixed && kind !== 'leak');
    throw new BlockError(
      'corrupt',
      'The image was not closed and its refcounts could not be repaired: ' +
        `${result.corruptions} corruptions and ${result.checkErrors} errors are left, the first: ${first?.message ?? 'unknown'}. ` +
        'Open it read-only to save what is in it',
    );
  }
  return repaired;
}

/**
 * Compares the refcounts with the references, and mends what `fix` allows.
 *
 * @param structure what is wrong with the refcount structures themselves
 */
function* settleRefcounts(image: CheckedImage, structure: CheckFindings): Co<Comparison> {
  const { findings } = image;
  const before = yield* compareRefcounts(image, 'none');
  const settled = before.findings.clean && structure.clean && !before.pending;
  if (findings.fix === 'none' || settled) {
    findings.take(structure);
    findings.take(before.findings);
    return before;
  }
  if (findings.fix === 'leaks' && (!structure.clean || before.uncounted)) {
    findings.take(structure);
    findings.take(before.findings);
    findings.error('ERROR need to rebuild refcount structures: repair all, not leaks only');
    return before;
  }
  if (structure.clean && !before.blocksMissing) {
    const after = yield* compareRefcounts(image, findings.fix);
    findings.take(after.findings);
    return after;
  }
  return yield* settleByRebuilding(image, structure, before);
}

function* settleByRebuilding(image: CheckedImage, structure: CheckFindings, before: Comparison): Co<Comparison> {
  const { findings } = image;
  const old = new CheckFindings('none');
  old.take(structure);
  old.take(before.findings);
  if (!(yield* rebuildRefcounts(image))) {
    findings.take(old);
    return before;
  }
  const rebuilt = yield* walkRefcountStructures(image, 1);
  const after = yield* compareRefcounts(image, 'none');
  rebuilt.take(after.findings);
  findings.takeMended(old, rebuilt);
  return after;
}

/** A header with the bitmap directory that a repair has left. */
function withBitmaps(header: Qcow2Header, { bitmapDirectory: now }: CheckedTables, before: CheckedTables): Qcow2Header {
  if (now === before.bitmapDirectory || now instanceof BlockError) return header;
  if (now === undefined) return { ...header, autoclearFeatures: header.autoclearFeatures & ~AUTOCLEAR_BITMAPS };
  const extensions = withExtension(header.extensions, EXTENSION.bitmaps, encodeExtension(now), 'last');
  return { ...header, extensions };
}

/** Clears the bits that say that something is wrong. */
function* markClean(file: BlockChild, header: Qcow2Header): Co<Qcow2Header> {
  const marks = INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT;
  if ((header.incompatibleFeatures & marks) === 0n) return header;
  const clean = { ...header, incompatibleFeatures: header.incompatibleFeatures & ~marks };
  const fields = encodeFields(clean);
  const bits = fields.subarray(FIELD.incompatibleFeatures, FIELD.incompatibleFeatures + 8);
  yield* settle(file.write(FIELD.incompatibleFeatures, bits));
  yield* settle(file.flush());
  return clean;
}

function tablesOf(header: Qcow2Header): CheckedTables {
  const otherRegions: Region[] = [];
  const encryption = findExtension(header.extensions, EXTENSION.encryptionHeader);
  if (encryption !== undefined && encryption.length >= 16) {
    const view = new DataView(encryption.buffer, encryption.byteOffset, encryption.byteLength);
    otherRegions.push({ offset: readOffset(view, 0), length: readOffset(view, 8) });
  }
  return {
    version: header.version,
    clusterSize: clusterSizeOf(header),
    externalData: hasDataFile(header),
    l2EntryLength: l2EntryLengthOf(header),
    refcountBits: 2 ** header.refcountOrder,
    virtualSize: header.size,
    l1Offset: header.l1TableOffset,
    l1Entries: header.l1Size,
    refcountTableOffset: header.refcountTableOffset,
    refcountTableClusters: header.refcountTableClusters,
    snapshotsOffset: header.snapshotsOffset,
    snapshotCount: header.nbSnapshots,
    bitmapDirectory: bitmapDirectoryOf(header),
    bitmapsExtensionOffset: header.headerLength + (extensionOffset(header.extensions, EXTENSION.bitmaps) ?? 0),
    otherRegions,
  };
}

/** The bitmaps extension counts only while the image was written by nobody who does not know it. */
function bitmapDirectoryOf(header: Qcow2Header): CheckedTables['bitmapDirectory'] {
  try {
    return directoryPlace(header);
  } catch (error) {
    if (error instanceof BlockError) return error;
    throw error;
  }
}

function readOffset(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

function resultOf(image: CheckedImage): CheckResult {
  const { findings, tables, clusterSize } = image;
  return findings.result({
    imageEndOffset: (image.highestCluster + 1) * clusterSize,
    totalClusters: Math.ceil(tables.virtualSize / clusterSize),
    allocatedClusters: image.allocatedClusters,
    fragmentedClusters: image.fragmentedClusters,
    compressedClusters: image.compressedClusters,
  });
}

/**
 * A new snapshot table in place of a broken one. It is written where nothing is, and only when it is on stable storage does the
 * header lead to it: a power cut leaves either the old one or the new one.
 */
import { settle, type Co } from '../../co.ts';
import type { CheckedImage, CheckedTables } from './check-image.ts';
import { lastReferred, obstacleToGrowth } from './check-rebuild.ts';
import { countBeforehand } from './check-refcounts.ts';
import { encodeKept, type SnapshotScan } from './check-snapshots.ts';
import { FIELD } from './layout.ts';

/**
 * Writes the table anew if it must be. All references have been counted, those of the refcount structures too; the clusters that
 * it takes and gives up are counted as it goes, and their refcounts are corrected without a finding.
 *
 * @param sound the refcount structures are
 */
export function* rewriteSnapshots(image: CheckedImage, scan: SnapshotScan, sound: boolean): Co<void> {
  const { kept, length, soundLength, repairs } = scan;
  if (kept === undefined) return;
  const { snapshotsOffset, snapshotCount } = image.tables;
  const moved = { snapshotsOffset: 0, snapshotCount: kept.length };
  const table = yield* encodeKept(image, kept);
  if (table.length > 0) {
    const first = lastReferred(image) + 1;
    const obstacle = obstacleToGrowth(image, first + Math.ceil(table.length / image.clusterSize));
    if (obstacle !== undefined) {
      image.findings.takeUnmended(repairs);
      // It stays where it is, and in use.
      image.refer(snapshotsOffset, length);
      image.findings.error(`ERROR the snapshot table of ${snapshotCount} entries cannot be written anew: ${obstacle}`);
      return;
    }
    moved.snapshotsOffset = first * image.clusterSize;
    yield* settle(image.file.write(moved.snapshotsOffset, table));
    if (sound) yield* countBeforehand(image, moved.snapshotsOffset, table.length);
    yield* settle(image.file.flush());
  }
  yield* switchHeader(image, moved);
  image.findings.take(repairs);
  image.giveUp(snapshotsOffset, soundLength);
  image.fileGrew();
  if (table.length > 0) image.take(moved.snapshotsOffset, table.length);
}

/** Count and place are in one sector, so one write changes them together. */
function* switchHeader(image: CheckedImage, moved: Pick<CheckedTables, 'snapshotsOffset' | 'snapshotCount'>): Co<void> {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, moved.snapshotCount);
  view.setUint32(4, Math.floor(moved.snapshotsOffset / 2 ** 32));
  view.setUint32(8, moved.snapshotsOffset % 2 ** 32);
  yield* settle(image.file.write(FIELD.nbSnapshots, bytes));
  yield* settle(image.file.flush());
  image.tables = { ...image.tables, ...moved };
}

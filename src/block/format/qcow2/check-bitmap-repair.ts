/**
 * A new bitmap directory in place of one that lists broken bitmaps. It is written where nothing is, and only when it is on stable
 * storage does the header lead to it: a power cut leaves the old one or the new one. Where the header extension that leads there goes
 * across the end of a sector, a cut may also leave an image that says of itself that its bitmaps are not to be trusted.
 */
import { settle, type Co } from '../../co.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { encodeDirectory, encodeExtension, type DirectoryPlace } from './bitmap-directory.ts';
import { trustBitmaps, walkTable, withdrawBitmaps, type BitmapRepair } from './check-bitmaps.ts';
import type { CheckedImage } from './check-image.ts';
import { lastReferred, obstacleToGrowth } from './check-rebuild.ts';
import { countBeforehand } from './check-refcounts.ts';
import { BITMAPS_EXTENSION_LENGTH } from './layout.ts';

/**
 * Writes the directory anew, if it must be. All references have been counted; the clusters that it takes and gives up are counted
 * as it goes, and their refcounts are corrected without a finding.
 *
 * @param sound the refcount structures are
 */
export function* rewriteBitmaps(image: CheckedImage, repair: BitmapRepair | undefined, sound: boolean): Co<void> {
  if (repair === undefined) return;
  const { place, kept, repairs } = repair;
  const { clusterSize, file, findings } = image;
  const directory = encodeDirectory(kept);
  const first = lastReferred(image) + 1;
  const obstacle = obstacleToGrowth(image, first + Math.ceil(directory.length / clusterSize));
  if (obstacle !== undefined) {
    yield* dropKept(image, repair, obstacle);
    return;
  }
  const moved = { count: kept.length, offset: first * clusterSize, length: directory.length };
  yield* settle(file.write(moved.offset, directory));
  if (sound) yield* countBeforehand(image, moved.offset, moved.length);
  yield* settle(file.flush());
  yield* switchExtension(image, moved);
  findings.take(repairs);
  image.giveUp(place.offset, place.length);
  image.fileGrew();
  image.take(moved.offset, moved.length);
}

/** Without a directory there are no bitmaps. */
function* dropKept(image: CheckedImage, { kept, repairs }: BitmapRepair, obstacle: string): Co<void> {
  yield* withdrawBitmaps(image);
  for (const entry of kept) {
    yield* walkTable(image, entry, -1);
    repairs.fixed('corruption', `Dropping the dirty bitmap '${entry.name}': no directory can be written, ${obstacle}`);
  }
  image.findings.take(repairs);
}

function* switchExtension(image: CheckedImage, place: DirectoryPlace): Co<void> {
  const { file, tables } = image;
  const offset = tables.bitmapsExtensionOffset;
  const isTorn = (offset % SECTOR_SIZE) + BITMAPS_EXTENSION_LENGTH > SECTOR_SIZE;
  if (isTorn) yield* trustBitmaps(image, false);
  yield* settle(file.write(offset, encodeExtension(place)));
  yield* settle(file.flush());
  if (isTorn) yield* trustBitmaps(image, true);
  image.tables = { ...image.tables, bitmapDirectory: place };
}

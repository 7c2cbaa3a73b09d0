/** The clusters of persistent dirty bitmaps. Source: qcow2 specification, "Bitmaps". */
import type { Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { readDirectory, type BitmapEntry, type DirectoryPlace } from './bitmap-directory.ts';
import { eachTableEntry } from './bitmap-tables.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { CheckedImage } from './check-image.ts';
import { ENTRY_LENGTH } from './layout.ts';

/** Counts the directory, each bitmap's table, and the clusters that the tables name. QEMU: qcow2_check_bitmaps_refcounts. */
export function* walkBitmaps(image: CheckedImage): Co<void> {
  const { bitmapDirectory } = image.tables;
  if (bitmapDirectory === undefined) return;
  if (bitmapDirectory instanceof BlockError) {
    image.findings.corruption(`ERROR ${bitmapDirectory.message}`);
    return;
  }
  if (!image.refer(bitmapDirectory.offset, bitmapDirectory.length)) return;
  // A table is no longer than the file, and all of them together are not either, unless they overlap.
  let budget = Math.ceil(image.fileLength / ENTRY_LENGTH);
  for (const entry of yield* readEntries(image, bitmapDirectory)) {
    budget -= entry.tableSize;
    if (budget < 0) {
      image.findings.corruption(`ERROR bitmap '${entry.name}': the tables of the bitmaps overlap`, entry.tableOffset);
      return;
    }
    yield* walkTable(image, entry);
  }
}

function* readEntries(image: CheckedImage, place: DirectoryPlace): Co<BitmapEntry[]> {
  const { clusterSize, virtualSize } = image.tables;
  try {
    return yield* readDirectory(
      image.file,
      { clusterSize, diskSize: virtualSize - (virtualSize % SECTOR_SIZE) },
      place,
    );
  } catch (error) {
    if (!(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
    image.findings.corruption(`ERROR ${error.message}`, place.offset);
    return [];
  }
}

function* walkTable(image: CheckedImage, entry: BitmapEntry): Co<void> {
  const { clusterSize, findings, file } = image;
  if (!image.refer(entry.tableOffset, entry.tableSize * ENTRY_LENGTH)) return;
  yield* eachTableEntry(file, entry, clusterSize, (index, place) => {
    if (typeof place === 'number') image.refer(place, clusterSize);
    else if (place === 'broken') {
      findings.corruption(`ERROR bitmap '${entry.name}': entry ${index} of its table is corrupted`, entry.tableOffset);
    }
  });
  yield* image.pause(image.clusterOf(entry.tableOffset));
}

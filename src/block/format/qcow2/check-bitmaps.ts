/** The clusters of persistent dirty bitmaps. Source: qcow2 specification, "Bitmaps". */
import { settle, type Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { readDirectory, type BitmapEntry, type DirectoryPlace } from './bitmap-directory.ts';
import { eachTableEntry } from './bitmap-tables.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { CheckedImage } from './check-image.ts';
import { AUTOCLEAR_BITMAPS, ENTRY_LENGTH, FIELD } from './layout.ts';

/**
 * Counts the directory, each bitmap's table, and the clusters that the tables name. QEMU: qcow2_check_bitmaps_refcounts.
 *
 * A repair drops all bitmaps when one of them or their directory is broken: nobody may open the image for writing with it.
 */
export function* walkBitmaps(image: CheckedImage): Co<void> {
  const { bitmapDirectory: place } = image.tables;
  if (place === undefined) return;
  const entries = place instanceof BlockError ? place : yield* readEntries(image, place);
  const fault = image.dropsBitmaps ? yield* faultIn(image, entries) : undefined;
  if (fault !== undefined) yield* dropBitmaps(image, fault);
  else if (place instanceof BlockError) image.findings.corruption(`ERROR ${place.message}`);
  else if (image.refer(place.offset, place.length)) yield* walkEntries(image, place, entries);
}

function* walkEntries(
  image: CheckedImage,
  place: DirectoryPlace,
  entries: readonly BitmapEntry[] | BlockError,
): Co<void> {
  if (entries instanceof BlockError) {
    image.findings.corruption(`ERROR ${entries.message}`, place.offset);
    return;
  }
  let budget = tableBudget(image);
  for (const entry of entries) {
    budget -= entry.tableSize;
    if (budget < 0) {
      image.findings.corruption(`ERROR bitmap '${entry.name}': the tables of the bitmaps overlap`, entry.tableOffset);
      return;
    }
    yield* walkTable(image, entry);
  }
}

/** A table is no longer than the file, and all of them together are not either, unless they overlap. */
function tableBudget(image: CheckedImage): number {
  return Math.ceil(image.fileLength / ENTRY_LENGTH);
}

/** @returns the entries, or what is wrong with them */
function* readEntries(image: CheckedImage, place: DirectoryPlace): Co<BitmapEntry[] | BlockError> {
  const { clusterSize, virtualSize } = image.tables;
  if (image.isOutside(place.offset, place.length)) {
    return new BlockError('corrupt', `The bitmap directory at ${place.offset} is not in the file`);
  }
  try {
    return yield* readDirectory(
      image.file,
      { clusterSize, diskSize: virtualSize - (virtualSize % SECTOR_SIZE) },
      place,
    );
  } catch (error) {
    if (error instanceof BlockError && error.kind === 'corrupt') return error;
    throw error;
  }
}

/** Why an image with these bitmaps cannot be opened for writing, if so. */
function* faultIn(image: CheckedImage, entries: readonly BitmapEntry[] | BlockError): Co<string | undefined> {
  if (entries instanceof BlockError) return entries.message;
  let budget = tableBudget(image);
  let fault: string | undefined;
  for (const entry of entries) {
    budget -= entry.tableSize;
    if (budget < 0) return `bitmap '${entry.name}': the tables of the bitmaps overlap`;
    yield* eachTableEntry(image.file, entry, image.clusterSize, (index, place) => {
      if (place === 'broken' || (typeof place === 'number' && !image.isPlace(place))) {
        fault ??= `bitmap '${entry.name}': entry ${index} of its table is corrupted`;
      }
    });
    if (fault !== undefined) return fault;
    yield* image.pause(image.clusterOf(entry.tableOffset));
  }
  return undefined;
}

/**
 * Says in the header that the bitmaps extension is out of date, so that nothing leads to the directory any more, before its
 * clusters are taken for free.
 */
function* dropBitmaps(image: CheckedImage, why: string): Co<void> {
  const { file, findings, tables } = image;
  const field = new Uint8Array(8);
  const view = new DataView(field.buffer);
  yield* settle(file.read(FIELD.autoclearFeatures, field));
  view.setBigUint64(0, view.getBigUint64(0) & ~AUTOCLEAR_BITMAPS);
  yield* settle(file.write(FIELD.autoclearFeatures, field));
  yield* settle(file.flush());
  image.tables = { ...tables, bitmapDirectory: undefined };
  findings.fixed('corruption', `Dropping the dirty bitmaps, which are broken: ${why}`);
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

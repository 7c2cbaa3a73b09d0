/** The clusters of persistent dirty bitmaps. Source: qcow2 specification, "Bitmaps". */
import { settle, type Co } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { CheckFindings } from '../shared/check-findings.ts';
import {
  bitsLength,
  isUsable,
  listDirectory,
  type BitmapEntry,
  type DirectoryPlace,
  type ImageFacts,
  type ListedBitmap,
} from './bitmap-directory.ts';
import { eachTableEntry, type TableEntry } from './bitmap-tables.ts';
import type { CheckedImage } from './check-image.ts';
import { AUTOCLEAR_BITMAPS, ENTRY_LENGTH, FIELD, MAX_BITMAP_BYTES } from './layout.ts';

/** A directory that is to be written anew, without bitmaps that are broken. */
export interface BitmapRepair {
  /** Where it is now. */
  readonly place: DirectoryPlace;
  readonly kept: readonly BitmapEntry[];
  /** What that mends, said as if it was done. */
  readonly repairs: CheckFindings;
}

/**
 * Counts the directory, each bitmap's table, and the clusters that the tables name. QEMU: qcow2_check_bitmaps_refcounts.
 *
 * A repair drops bitmaps that are broken, and all of them when their directory is: nobody may open the image for writing with
 * them.
 *
 * @returns what is to be done when all references are counted; the old directory is not counted then
 */
export function* walkBitmaps(image: CheckedImage): Co<BitmapRepair | undefined> {
  const { bitmapDirectory: place } = image.tables;
  if (place === undefined) return undefined;
  if (place instanceof BlockError) {
    if (image.dropsBitmaps) yield* dropAll(image, place);
    else image.findings.corruption(`ERROR ${place.message}`);
    return undefined;
  }
  const listed = yield* listBitmaps(image, place);
  if (!image.dropsBitmaps) {
    if (image.refer(place.offset, place.length)) yield* walkListed(image, place, listed);
    return undefined;
  }
  if (listed instanceof BlockError) {
    yield* dropAll(image, listed);
    return undefined;
  }
  return yield* walkSound(image, place, listed);
}

function* walkListed(
  image: CheckedImage,
  place: DirectoryPlace,
  listed: readonly ListedBitmap[] | BlockError,
): Co<void> {
  const fault = listed instanceof BlockError ? listed : listed.find((bitmap) => bitmap.fault !== undefined)?.fault;
  if (listed instanceof BlockError || fault !== undefined) {
    image.findings.corruption(`ERROR ${fault!.message}`, place.offset);
    return;
  }
  let budget = tableBudget(image);
  for (const { entry } of listed) {
    budget -= entry.tableSize;
    if (budget < 0) {
      image.findings.corruption(`ERROR bitmap '${entry.name}': ${TABLES_OVERLAP}`, entry.tableOffset);
      return;
    }
    yield* walkTable(image, entry);
  }
}

const TABLES_OVERLAP = 'the tables of the bitmaps overlap';

/** Entries: a table is no longer than the file, and all of them together are not either, unless they overlap. */
function tableBudget(image: CheckedImage): number {
  return Math.ceil(image.fileLength / ENTRY_LENGTH);
}

function factsOf({ clusterSize, tables: { virtualSize } }: CheckedImage): ImageFacts {
  return { clusterSize, diskSize: virtualSize - (virtualSize % SECTOR_SIZE) };
}

/** @returns the bitmaps, or what is wrong with their directory */
function* listBitmaps(image: CheckedImage, place: DirectoryPlace): Co<ListedBitmap[] | BlockError> {
  if (image.isOutside(place.offset, place.length)) {
    return new BlockError('corrupt', `The bitmap directory at ${place.offset} is not in the file`);
  }
  try {
    return yield* listDirectory(image.file, factsOf(image), place);
  } catch (error) {
    if (error instanceof BlockError && error.kind === 'corrupt') return error;
    throw error;
  }
}

/** Counts the bitmaps that an image can be opened with for writing. */
function* walkSound(
  image: CheckedImage,
  place: DirectoryPlace,
  listed: readonly ListedBitmap[],
): Co<BitmapRepair | undefined> {
  const repairs = new CheckFindings('all');
  const kept: BitmapEntry[] = [];
  const judge = new BitmapJudge(image);
  for (const { entry, fault } of listed) {
    const why = fault?.message ?? (yield* judge.faultIn(entry));
    if (why === undefined) kept.push(entry);
    else
      repairs.fixed('corruption', `Dropping the dirty bitmap '${entry.name}', which is broken: ${why}`, place.offset);
  }
  if (kept.length === 0) {
    yield* withdrawBitmaps(image);
    image.findings.take(repairs);
    return undefined;
  }
  for (const entry of kept) yield* walkTable(image, entry);
  if (kept.length < listed.length) {
    image.keepClear(place.offset, place.length);
    return { place, kept, repairs };
  }
  image.refer(place.offset, place.length);
  return undefined;
}

/** Says which bitmaps cannot be loaded. What those that it has let pass take together is bounded. */
class BitmapJudge {
  readonly #image: CheckedImage;
  /** Entries of tables. */
  #tables: number;
  /** Bytes of bits. */
  #bits: number;

  constructor(image: CheckedImage) {
    this.#image = image;
    this.#tables = tableBudget(image);
    this.#bits = Math.min(image.fileLength, MAX_BITMAP_BYTES);
  }

  *faultIn(entry: BitmapEntry): Co<string | undefined> {
    const image = this.#image;
    const { tableOffset, tableSize } = entry;
    if (tableSize > this.#tables) return TABLES_OVERLAP;
    this.#tables -= tableSize;
    if (tableOffset + tableSize * ENTRY_LENGTH > image.fileLength) return 'its table is cut off';
    const length = isUsable(entry) ? bitsLength(factsOf(image), entry.granularityBits) : undefined;
    let fault: string | undefined;
    let bits = 0;
    yield* eachTableEntry(image.file, entry, image.clusterSize, (index, place) => {
      const left = length === undefined ? 0 : Math.min(image.clusterSize, length - index * image.clusterSize);
      if (!this.#isSound(place, left)) fault ??= `entry ${index} of its table is corrupted`;
      if (typeof place === 'number') bits += left;
    });
    yield* image.pause(image.clusterOf(tableOffset));
    if (fault === undefined && bits > this.#bits) return 'the bitmaps have more bits than the file has room for';
    if (fault === undefined) this.#bits -= bits;
    return fault;
  }

  /** @param length bytes of bits that are read there */
  #isSound(place: TableEntry, length: number): boolean {
    if (place === 'broken') return false;
    return typeof place !== 'number' || (this.#image.isPlace(place) && place + length <= this.#image.fileLength);
  }
}

/** The clusters of bitmaps that nobody can tell apart are taken for free. */
function* dropAll(image: CheckedImage, { message }: BlockError): Co<void> {
  yield* withdrawBitmaps(image);
  image.findings.fixed('corruption', `Dropping the dirty bitmaps, which are broken: ${message}`);
}

/** @param times 1, or -1 to take a table that was sound out again */
export function* walkTable(image: CheckedImage, entry: BitmapEntry, times: 1 | -1 = 1): Co<void> {
  const { clusterSize, findings, file } = image;
  if (!image.referTable(entry.tableOffset, entry.tableSize, times)) return;
  yield* eachTableEntry(file, entry, clusterSize, (index, place) => {
    if (typeof place === 'number') image.refer(place, clusterSize, times);
    else if (place === 'broken') {
      findings.corruption(`ERROR bitmap '${entry.name}': entry ${index} of its table is corrupted`, entry.tableOffset);
    }
  });
  yield* image.pause(image.clusterOf(entry.tableOffset));
}

/** Nothing leads to the bitmaps any more: on stable storage, before their clusters are taken for free. */
export function* withdrawBitmaps(image: CheckedImage): Co<void> {
  yield* trustBitmaps(image, false);
  image.tables = { ...image.tables, bitmapDirectory: undefined };
}

/** Says in the header whether the bitmaps extension is to be trusted. On stable storage when it returns. */
export function* trustBitmaps({ file }: CheckedImage, trusted: boolean): Co<void> {
  const field = new Uint8Array(8);
  const view = new DataView(field.buffer);
  yield* settle(file.read(FIELD.autoclearFeatures, field));
  const others = view.getBigUint64(0) & ~AUTOCLEAR_BITMAPS;
  view.setBigUint64(0, trusted ? others | AUTOCLEAR_BITMAPS : others);
  yield* settle(file.write(FIELD.autoclearFeatures, field));
  yield* settle(file.flush());
}

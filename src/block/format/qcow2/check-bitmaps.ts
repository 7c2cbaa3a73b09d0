/** The clusters of persistent dirty bitmaps. Source: qcow2 specification, "Bitmaps". */
import { settle, type Co } from '../../co.ts';
import { entryOffset, type CheckedImage } from './check-image.ts';
import { ENTRY_LENGTH } from './layout.ts';

/** Bytes of a directory entry before its extra data and name. */
const FIXED_LENGTH = 24;
/** QEMU's limits: bytes of the directory, and entries of one bitmap's table. */
const MAX_DIRECTORY_BYTES = 64 * 2 ** 20;
const MAX_TABLE_ENTRIES = 2 ** 20 * 8;

/** Counts the directory, each bitmap's table, and the clusters that the tables name. */
export function* walkBitmaps(image: CheckedImage): Co<void> {
  const { bitmapDirectory } = image.tables;
  if (bitmapDirectory === undefined || bitmapDirectory.length > MAX_DIRECTORY_BYTES) return;
  image.refer(bitmapDirectory.offset, bitmapDirectory.length);
  const end = Math.min(bitmapDirectory.offset + bitmapDirectory.length, image.fileLength);
  let { offset } = bitmapDirectory;
  // A table is no longer than the file, and all of them together are not either, unless they overlap.
  let budget = Math.ceil(image.fileLength / ENTRY_LENGTH);
  for (let index = 0; index < bitmapDirectory.count; index++) {
    const entry = yield* readEntry(image, offset, end);
    if (entry === undefined || entry.tableEntries > budget) {
      image.findings.corruption(`ERROR bitmap directory entry ${index} is broken`, offset);
      return;
    }
    budget -= entry.tableEntries;
    yield* walkTable(image, entry.tableOffset, entry.tableEntries);
    offset += entry.length;
  }
}

interface DirectoryEntry {
  readonly tableOffset: number;
  readonly tableEntries: number;
  /** Bytes, with padding. */
  readonly length: number;
}

function* readEntry(image: CheckedImage, offset: number, end: number): Co<DirectoryEntry | undefined> {
  if (offset + FIXED_LENGTH > end) return undefined;
  const fixed = new Uint8Array(FIXED_LENGTH);
  yield* settle(image.file.read(offset, fixed));
  const view = new DataView(fixed.buffer);
  const tableOffset = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  const tableEntries = view.getUint32(8);
  const length = Math.ceil((FIXED_LENGTH + view.getUint16(18) + view.getUint32(20)) / 8) * 8;
  if (tableOffset % image.clusterSize !== 0 || tableEntries > MAX_TABLE_ENTRIES || offset + length > end)
    return undefined;
  return { tableOffset, tableEntries, length };
}

function* walkTable(image: CheckedImage, offset: number, entries: number): Co<void> {
  image.refer(offset, entries * ENTRY_LENGTH);
  yield* image.eachPiece(offset, entries, (piece, _first, count) => {
    for (let index = 0; index < count; index++) {
      const cluster = entryOffset(piece.getUint32(index * ENTRY_LENGTH), piece.getUint32(index * ENTRY_LENGTH + 4));
      if (cluster === 0) continue;
      if (cluster % image.clusterSize === 0) image.refer(cluster, image.clusterSize);
      else image.findings.corruption('ERROR a bitmap table entry is not cluster aligned', cluster);
    }
  });
}

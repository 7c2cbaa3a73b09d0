import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import {
  COMPRESSION_DEFLATE,
  ENTRY_LENGTH,
  FLAG_COMPRESSED,
  FLAG_MARKERS,
  FLAG_NEWLINES,
  FLAG_REDUNDANT_DIRECTORY,
  FLAG_ZEROED_GRAINS,
  MAGIC_SPARSE,
  NEW_DESCRIPTOR_SECTORS,
  NEW_ENTRIES_PER_TABLE,
  NEW_GRAIN_SECTORS,
  NEWLINES,
  SPARSE,
  SPARSE_HEADER_LENGTH,
} from './layout.ts';
import { roundUp } from '../../../binary/round-up.ts';

export interface NewSparseExtent {
  /** Bytes. */
  readonly capacity: number;
  readonly zeroedGrains: boolean;
  readonly compressed?: boolean;
  /** Where it holds its descriptor itself. */
  readonly descriptor?: Uint8Array;
}

export const embeddedDescriptorRoom = NEW_DESCRIPTOR_SECTORS * SECTOR_SIZE;
/** Bytes of the disk that one grain table describes. */
export const spanOfTable = NEW_GRAIN_SECTORS * SECTOR_SIZE * NEW_ENTRIES_PER_TABLE;

const TABLE_SECTORS = (NEW_ENTRIES_PER_TABLE * ENTRY_LENGTH) / SECTOR_SIZE;
/** Grain directories are written in pieces of so many entries. */
const DIRECTORY_PIECE = 16_384;

/**
 * Writes an extent without grains, as QEMU lays it out: header, room for a descriptor, and two grain directories, each with all its
 * tables behind it. The header goes down when everything else is stable.
 */
export function* makeSparseExtent(file: BlockChild, extent: NewSparseExtent): Co<void> {
  const tables = Math.ceil(extent.capacity / spanOfTable);
  const directorySectors = Math.ceil((tables * ENTRY_LENGTH) / SECTOR_SIZE);
  const redundant = 1 + NEW_DESCRIPTOR_SECTORS;
  const directory = redundant + directorySectors + tables * TABLE_SECTORS;
  const overhead = roundUp(directory + directorySectors + tables * TABLE_SECTORS, NEW_GRAIN_SECTORS);
  yield* settle(file.writeZeroes(0, overhead * SECTOR_SIZE));
  for (const place of [redundant, directory]) yield* writeDirectory(file, place, place + directorySectors, tables);
  if (extent.descriptor !== undefined) yield* settle(file.write(SECTOR_SIZE, extent.descriptor));
  yield* settle(file.flush());
  yield* settle(file.write(0, encodeHeader(extent, redundant, directory, overhead)));
  yield* settle(file.flush());
}

function* writeDirectory(file: BlockChild, place: number, firstTable: number, tables: number): Co<void> {
  for (let from = 0; from < tables; from += DIRECTORY_PIECE) {
    const count = Math.min(DIRECTORY_PIECE, tables - from);
    const view = new DataView(new ArrayBuffer(count * ENTRY_LENGTH));
    for (let index = 0; index < count; index++) {
      view.setUint32(index * ENTRY_LENGTH, firstTable + (from + index) * TABLE_SECTORS, true);
    }
    yield* settle(file.write(place * SECTOR_SIZE + from * ENTRY_LENGTH, new Uint8Array(view.buffer)));
  }
}

/** @param redundant where the redundant directory is, @param directory where the other one is, @param overhead where grains begin: sectors */
function encodeHeader(
  { capacity, zeroedGrains, compressed = false }: NewSparseExtent,
  redundant: number,
  directory: number,
  overhead: number,
): Uint8Array {
  const bytes = new Uint8Array(SPARSE_HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  const setSectors = (at: number, sectors: number): void => view.setBigUint64(at, BigInt(sectors), true);
  const flags =
    FLAG_NEWLINES +
    FLAG_REDUNDANT_DIRECTORY +
    (zeroedGrains ? FLAG_ZEROED_GRAINS : 0) +
    (compressed ? FLAG_COMPRESSED + FLAG_MARKERS : 0);
  bytes.set(new TextEncoder().encode(MAGIC_SPARSE));
  view.setUint32(SPARSE.version, compressed ? 3 : zeroedGrains ? 2 : 1, true);
  view.setUint32(SPARSE.flags, flags, true);
  setSectors(SPARSE.capacity, capacity / SECTOR_SIZE);
  setSectors(SPARSE.grainSize, NEW_GRAIN_SECTORS);
  setSectors(SPARSE.descriptorOffset, 1);
  setSectors(SPARSE.descriptorSize, NEW_DESCRIPTOR_SECTORS);
  view.setUint32(SPARSE.entriesPerTable, NEW_ENTRIES_PER_TABLE, true);
  setSectors(SPARSE.redundantDirectory, redundant);
  setSectors(SPARSE.directory, directory);
  setSectors(SPARSE.overhead, overhead);
  bytes.set(NEWLINES, SPARSE.newlines);
  view.setUint16(SPARSE.compression, compressed ? COMPRESSION_DEFLATE : 0, true);
  return bytes;
}

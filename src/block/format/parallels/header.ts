import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import {
  ENTRY_LENGTH,
  FIELD,
  HEADER_LENGTH,
  MAGIC_CLUSTERS,
  MAGIC_LENGTH,
  MAGIC_SECTORS,
  MAX_BAT_BYTES,
  MAX_CLUSTER_BYTES,
  VERSION,
} from './layout.ts';
import { roundUp } from '../../../binary/round-up.ts';

export interface ParallelsHeader {
  /** As it is in the file, so that what is not understood is kept. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes. */
  readonly clusterSize: number;
  readonly batEntries: number;
  /** Bytes of the disk. */
  readonly diskSize: number;
  /** Bytes that an entry counts in. */
  readonly entryUnit: number;
  /** Where the first cluster can be. Bytes. */
  readonly dataStart: number;
  readonly inUse: number;
  /** Bytes; 0: there is none. */
  readonly extensionOffset: number;
}

/** @returns the magic of a header, or undefined when it is none */
export function magicOf(head: Uint8Array): typeof MAGIC_SECTORS | typeof MAGIC_CLUSTERS | undefined {
  const text = new TextDecoder('latin1').decode(head.subarray(0, MAGIC_LENGTH));
  if (text === MAGIC_SECTORS || text === MAGIC_CLUSTERS) return text;
  return undefined;
}

/**
 * Reads and checks the header.
 *
 * @throws BlockError `corrupt` for a field that cannot be, `unsupported` for clusters and tables that are too large
 */
export function* readHeader(file: BlockChild): Co<ParallelsHeader> {
  const bytes = new Uint8Array(HEADER_LENGTH);
  yield* settle(file.read(0, bytes));
  const magic = magicOf(bytes);
  const view = new DataView(bytes.buffer);
  if (magic === undefined || view.getUint32(FIELD.version, true) !== VERSION) {
    throw new BlockError('corrupt', 'Image not in Parallels format');
  }
  const clusterSize = clusterSizeOf(view.getUint32(FIELD.tracks, true));
  const batEntries = view.getUint32(FIELD.batEntries, true);
  const batEnd = checkTable(batEntries, file.length);
  const sectors = view.getBigUint64(FIELD.nbSectors, true);
  const own = magic === MAGIC_SECTORS ? BigInt.asUintN(32, sectors) : sectors;
  if (own * BigInt(SECTOR_SIZE) > BigInt(batEntries) * BigInt(clusterSize)) {
    throw broken(`nb_sectors ${own} is more than nb_bat_entries ${batEntries} clusters of ${clusterSize} bytes hold`);
  }
  return {
    bytes,
    clusterSize,
    batEntries,
    diskSize: Number(own) * SECTOR_SIZE,
    entryUnit: magic === MAGIC_SECTORS ? SECTOR_SIZE : clusterSize,
    dataStart: dataStart(magic, view.getUint32(FIELD.dataOff, true) * SECTOR_SIZE, batEnd, clusterSize),
    inUse: view.getUint32(FIELD.inUse, true),
    extensionOffset: extensionOffset(view.getBigUint64(FIELD.extOff, true)),
  };
}

function clusterSizeOf(tracks: number): number {
  if (tracks === 0) throw broken('Zero sectors per track');
  const clusterSize = tracks * SECTOR_SIZE;
  if (clusterSize <= MAX_CLUSTER_BYTES) return clusterSize;
  throw new BlockError(
    'unsupported',
    `Too big cluster: tracks ${tracks} makes clusters of ${clusterSize} bytes; they may have ${MAX_CLUSTER_BYTES}`,
  );
}

/** @returns where the table ends */
function checkTable(batEntries: number, fileLength: number): number {
  const bytes = batEntries * ENTRY_LENGTH;
  if (bytes > MAX_BAT_BYTES) {
    throw new BlockError(
      'unsupported',
      `Catalog too large: nb_bat_entries ${batEntries} takes ${bytes} bytes; no more than ${MAX_BAT_BYTES} are read`,
    );
  }
  if (HEADER_LENGTH + bytes > fileLength) {
    throw broken(`the table of nb_bat_entries ${batEntries} does not fit into the file of ${fileLength} bytes`);
  }
  return HEADER_LENGTH + bytes;
}

function dataStart(magic: string, dataOff: number, batEnd: number, clusterSize: number): number {
  const unit = magic === MAGIC_SECTORS ? SECTOR_SIZE : clusterSize;
  return roundUp(Math.max(dataOff, batEnd), unit);
}

function extensionOffset(sectors: bigint): number {
  const offset = sectors * BigInt(SECTOR_SIZE);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) throw broken(`ext_off ${sectors} is 2^53 bytes or more`);
  return Number(offset);
}

function broken(what: string): BlockError {
  return new BlockError('corrupt', `Invalid Parallels image: ${what}`);
}

/**
 * Where guest bytes are: the path of every read and write. With the slice of the L2 table in the cache it is a few lookups in
 * typed arrays, without a promise, a coroutine or any object but the answer.
 *
 * Source: qcow2 specification, "Cluster mapping".
 */
import { start, type Co, type MaybePromise } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { backingExtent, dataExtent, encodedExtent, NO_OFFSET, zeroExtent, type Extent } from '../../extent.ts';
import type { SliceCache } from '../shared/slice-cache.ts';
import { decodeEntry } from './l2-entry.ts';
import { ENTRY_LENGTH, L2_NOT_PLAIN_HIGH } from './layout.ts';
import type { Metadata } from './metadata.ts';
import { SubclusterMapper } from './map-subclusters.ts';

/** An answer for tables that are not there covers so many of them at most. */
const MAX_MISSING_TABLES = 4096;

export class Mapper {
  readonly #metadata: Metadata;
  readonly #file: BlockChild;
  readonly #l2: SliceCache;
  readonly #encrypted: boolean;
  readonly #clusterSize: number;
  readonly #entriesPerSlice: number;
  readonly #sliceSpan: number;
  /** Powers of two: multiplying by them is exact, and faster than dividing. */
  readonly #perCluster: number;
  readonly #perSlice: number;
  readonly #externalData: boolean;
  /** Answers instead where entries are extended. */
  readonly #subclusters: SubclusterMapper | undefined;
  /** Low bits that are zero in the entry of a data cluster: its offset is a multiple of the cluster size. */
  readonly #notPlainLow: number;

  constructor(metadata: Metadata) {
    const { clusterSize, entriesPerSlice, sliceSpan } = metadata.geometry;
    this.#metadata = metadata;
    this.#file = metadata.dataStore;
    this.#l2 = metadata.l2;
    this.#encrypted = metadata.settings.encryption !== undefined;
    this.#clusterSize = clusterSize;
    this.#entriesPerSlice = entriesPerSlice;
    this.#sliceSpan = sliceSpan;
    this.#perCluster = 1 / clusterSize;
    this.#perSlice = 1 / sliceSpan;
    this.#notPlainLow = clusterSize - 1;
    this.#externalData = metadata.geometry.externalData;
    this.#subclusters = metadata.geometry.subclusters > 1 ? new SubclusterMapper(metadata) : undefined;
  }

  /** @see FormatImage.map */
  map(guestOffset: number, length: number): MaybePromise<Extent> {
    const slice = Math.floor(guestOffset * this.#perSlice);
    const slot = this.#l2.lookup(slice);
    if (slot >= 0) return this.#mapCached(slot, slice, guestOffset, length);
    return this.#missing(guestOffset, length) ?? start(this.#mapUncached(slice, guestOffset, length));
  }

  /** The answer for L2 tables that do not exist, or undefined where there is one. */
  #missing(guestOffset: number, length: number): Extent | undefined {
    const { tableSpan } = this.#metadata.geometry;
    const end = guestOffset + length;
    const first = Math.floor(guestOffset / tableSpan);
    let table = first;
    while (table - first < MAX_MISSING_TABLES && table * tableSpan < end && this.#metadata.tableOffset(table) === 0)
      table++;
    if (table === first) return undefined;
    return backingExtent(Math.min(table * tableSpan, end) - guestOffset);
  }

  *#mapUncached(slice: number, guestOffset: number, length: number): Co<Extent> {
    const slot = yield* this.#l2.load(slice);
    if (slot >= 0) return this.#mapCached(slot, slice, guestOffset, length);
    // The table went away while its slice was being read.
    return backingExtent(Math.min(length, (slice + 1) * this.#sliceSpan - guestOffset));
  }

  #mapCached(slot: number, slice: number, guestOffset: number, length: number): Extent {
    if (this.#subclusters !== undefined) return this.#subclusters.mapCached(slot, slice, guestOffset, length);
    const within = guestOffset - slice * this.#sliceSpan;
    const index = Math.floor(within * this.#perCluster);
    const inCluster = within - index * this.#clusterSize;
    const view = this.#l2.view(slot);
    const at = this.#l2.start(slot) + index * ENTRY_LENGTH;
    const high = view.getInt32(at);
    const low = view.getInt32(at + 4);
    const wanted = Math.ceil((inCluster + length) * this.#perCluster);
    const clusters = wanted === 1 ? 1 : Math.min(wanted, this.#entriesPerSlice - index);
    if ((high & L2_NOT_PLAIN_HIGH) === 0 && (low & this.#notPlainLow) === 0) {
      const hostOffset = (high & ~0x80000000) * 2 ** 32 + (low >>> 0);
      const isData = this.#externalData
        ? (hostOffset !== 0 || high < 0) && hostOffset === guestOffset - inCluster
        : hostOffset !== 0;
      if (isData) {
        if (hostOffset >= this.#file.length) throw behindTheEnd(this.#file, hostOffset, guestOffset);
        const run = clusters === 1 ? 1 : this.#dataRun(view, at, high, hostOffset, clusters);
        const writable = high < 0 && this.#l2.marked(slot);
        return dataExtent(
          this.#encrypted ? this.#metadata.dataChild(hostOffset, guestOffset - inCluster) : this.#file,
          hostOffset + inCluster,
          Math.min(length, run * this.#clusterSize - inCluster),
          writable,
        );
      }
      if (high === 0 && hostOffset === 0) {
        const run = clusters === 1 ? 1 : sameRun(view, at, 0, clusters);
        return backingExtent(Math.min(length, run * this.#clusterSize - inCluster));
      }
    }
    return this.#mapSpecial(view, at, guestOffset - inCluster, inCluster, length, clusters);
  }

  /** How many clusters lie in a row in the file as they do on the disk. */
  #dataRun(view: DataView, first: number, high: number, hostOffset: number, limit: number): number {
    let run = 1;
    let expected = hostOffset + this.#clusterSize;
    const end = this.#file.length;
    for (let at = first + ENTRY_LENGTH; run < limit && expected < end; run++, at += ENTRY_LENGTH) {
      const nextHigh = view.getInt32(at);
      // The same flags, and the offset that follows: bits that do not belong there make them differ.
      if ((nextHigh ^ high) < 0 || (nextHigh & 0x7fffffff) * 2 ** 32 + view.getUint32(at + 4) !== expected) break;
      expected += this.#clusterSize;
    }
    return run;
  }

  /** Zero and compressed clusters, and all that is refused. */
  #mapSpecial(view: DataView, at: number, guest: number, inCluster: number, length: number, clusters: number): Extent {
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    const entry = decodeEntry(high, low, this.#metadata.geometry, guest);
    if (entry.kind === 'zero') {
      // What is encrypted has no place where others could look.
      const reserved = entry.allocated && !this.#encrypted;
      const run = reserved ? 1 : sameRun(view, at, low, clusters);
      return zeroExtent(
        Math.min(length, run * this.#clusterSize - inCluster),
        reserved ? entry.hostOffset + inCluster : NO_OFFSET,
      );
    }
    if (entry.kind === 'compressed') {
      return encodedExtent(Math.min(length, this.#clusterSize - inCluster), 'compressed');
    }
    throw new BlockError('internal', `The L2 entry of the guest cluster at offset ${guest} was not understood`);
  }
}

/** How many entries in a row are (0, `low`). */
function sameRun(view: DataView, first: number, low: number, limit: number): number {
  let run = 1;
  for (let at = first + ENTRY_LENGTH; run < limit; run++, at += ENTRY_LENGTH) {
    if (view.getUint32(at) !== 0 || view.getUint32(at + 4) !== low) break;
  }
  return run;
}

/** The file was cut off, or the entry is wrong: what lies there is not zero, it is lost. */
export function behindTheEnd(file: BlockChild, hostOffset: number, guestOffset: number): BlockError {
  return new BlockError(
    'corrupt',
    `The data of the guest cluster is at ${hostOffset} in the file, which has only ${file.length} bytes: it was cut off, ` +
      'or is not all there yet. Get the whole file, or check the image',
    { offset: guestOffset },
  );
}

/**
 * Reading compressed clusters.
 *
 * Source: qcow2 specification, "Compressed Clusters Descriptor".
 */
import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { decompressCluster as decompress } from '../shared/compressed-cluster.ts';
import { DecodedUnits } from '../shared/decoded-units.ts';
import { readEntry } from './entries.ts';
import type { ClusterEntry } from './l2-entry.ts';
import type { Metadata } from './metadata.ts';

/**
 * Reads the bytes of a compressed cluster and decompresses them.
 *
 * @param guestOffset of the cluster, for messages
 * @param output as long as a cluster
 * @throws BlockError `corrupt` when the bytes are not there or are no cluster, and what the storage throws
 */
export function decompressCluster(
  { file, settings }: Metadata,
  entry: ClusterEntry,
  guestOffset: number,
  output: Uint8Array,
): Co<void> {
  return decompress(file, settings.compressor, entry, guestOffset, output);
}

/** Reads parts of compressed clusters, and keeps the last clusters: see `DecodedUnits`. */
export class CompressedReader {
  readonly #metadata: Metadata;
  readonly #units: DecodedUnits;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
    this.#units = new DecodedUnits();
  }

  /** Other bytes are in the file now, at places where compressed clusters were. */
  forget(): void {
    this.#units.forget();
  }

  /** @see FormatImage.readEncoded */
  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const slice = Math.floor(offset / this.#metadata.geometry.sliceSpan);
    const slot = this.#metadata.l2.lookup(slice);
    return slot >= 0 ? this.#readMapped(slot, slice, offset, buffer) : start(this.#readUnmapped(slice, offset, buffer));
  }

  *#readUnmapped(slice: number, offset: number, buffer: Uint8Array): Co<void> {
    const slot = yield* this.#metadata.l2.load(slice);
    yield* settle(this.#readMapped(slot, slice, offset, buffer));
  }

  #readMapped(slot: number, slice: number, offset: number, buffer: Uint8Array): MaybePromise<void> {
    const { clusterSize, sliceSpan } = this.#metadata.geometry;
    const index = Math.floor((offset - slice * sliceSpan) / clusterSize);
    const guest = slice * sliceSpan + index * clusterSize;
    const entry = slot < 0 ? undefined : readEntry(this.#metadata, slot, slice, index);
    if (entry?.kind !== 'compressed') {
      throw new BlockError('internal', `The guest cluster at offset ${guest} is not compressed`, { offset: guest });
    }
    const inCluster = offset - guest;
    return this.#units.read(entry.hostOffset, clusterSize, inCluster, buffer, (bytes) =>
      decompressCluster(this.#metadata, entry, guest, bytes),
    );
  }
}

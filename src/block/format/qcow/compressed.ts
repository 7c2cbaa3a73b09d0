/**
 * Compressed clusters: raw deflate streams, one behind the other, byte by byte. They are never changed in place: any write gives the
 * cluster a new place, and the old one is lost space.
 */
import { settle, start, type Co, type MaybePromise } from '../../co.ts';
import type { Compressor } from '../../compression.ts';
import { BlockError } from '../../error.ts';
import { decompressCluster } from '../shared/compressed-cluster.ts';
import { DecodedUnits } from '../shared/decoded-units.ts';
import type { QcowTables } from './tables.ts';

export class CompressedClusters {
  readonly #tables: QcowTables;
  readonly #compressor: Compressor;
  readonly #kept: DecodedUnits;

  constructor(tables: QcowTables, compressor: Compressor) {
    this.#tables = tables;
    this.#compressor = compressor;
    this.#kept = new DecodedUnits();
  }

  /** What was in the file is not there any more. */
  forget(): void {
    this.#kept.forget();
  }

  /** @see FormatImage.readEncoded */
  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    return start(this.#read(offset, buffer));
  }

  *#read(offset: number, buffer: Uint8Array): Co<void> {
    const { clusterSize, entriesPerSlice, l2 } = this.#tables;
    const cluster = Math.floor(offset / clusterSize);
    const slot = yield* l2.load(this.#tables.sliceOf(cluster));
    const guest = cluster * clusterSize;
    const entry = slot < 0 ? undefined : this.#tables.entry(slot, cluster % entriesPerSlice, guest);
    if (entry === undefined || entry.compressedLength === 0) {
      throw new BlockError('internal', `The guest cluster at offset ${guest} is not compressed`, { offset: guest });
    }
    const place = { hostOffset: entry.hostOffset, storedLength: entry.compressedLength };
    const decode = (bytes: Uint8Array): Co<void> =>
      decompressCluster(this.#tables.file, this.#compressor, place, guest, bytes);
    yield* settle(this.#kept.read(place.hostOffset, clusterSize, offset - guest, buffer, decode));
  }

  /**
   * Writes one cluster. What cannot be compressed is stored as it is.
   *
   * @param data the whole cluster, but for the last one of the disk, which is filled up with zeroes
   */
  *write(offset: number, data: Uint8Array): Co<void> {
    const { clusterSize, file, lock } = this.#tables;
    const whole = new Uint8Array(clusterSize);
    whole.set(data);
    const compress = this.#compressor.threads ?? this.#compressor;
    const compressed = yield* settle<Uint8Array | undefined>(compress.compress(whole));
    const stored = compressed ?? whole;
    const place = yield* lock.run(() => this.#take(stored.length, compressed !== undefined));
    file.event('write_compressed');
    yield* settle(file.write(place, stored));
    yield* lock.run(() => this.#publish(offset, place, compressed?.length ?? 0));
  }

  #take(length: number, compressed: boolean): number {
    if (!compressed) return this.#tables.take(1);
    const place = this.#tables.takeBytes(length);
    if (place < this.#tables.compressedLimit) return place;
    throw new BlockError('no-space', 'The file is too large: entries of compressed clusters cannot lead that far');
  }

  *#publish(offset: number, place: number, compressedLength: number): Co<void> {
    const cluster = Math.floor(offset / this.#tables.clusterSize);
    const slot = yield* this.#tables.slotForWriting(this.#tables.sliceOf(cluster));
    this.#tables.setEntry(slot, cluster % this.#tables.entriesPerSlice, place, compressedLength);
  }
}

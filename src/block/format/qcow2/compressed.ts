/**
 * Reading compressed clusters. A cluster is decompressed whole, so the last ones are kept: most reads ask for a part, and then for
 * the next.
 *
 * Source: qcow2 specification, "Compressed Clusters Descriptor".
 */
import { chain, isPromise, settle, start, type Co, type MaybePromise } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { readEntry } from './entries.ts';
import type { ClusterEntry } from './l2-entry.ts';
import type { Metadata } from './metadata.ts';

/** Bytes of decompressed clusters that an image keeps, and how many clusters at least and at most. */
const KEPT_BYTES = 1024 * 1024;
const MIN_KEPT = 2;
const MAX_KEPT = 16;

/**
 * Reads the bytes of a compressed cluster and decompresses them.
 *
 * @param guestOffset of the cluster, for messages
 * @param output as long as a cluster
 * @throws BlockError `corrupt` when the bytes are not there or are no cluster, and what the storage throws
 */
export function* decompressCluster(
  metadata: Metadata,
  entry: ClusterEntry,
  guestOffset: number,
  output: Uint8Array,
): Co<void> {
  const { file } = metadata;
  const { hostOffset, storedLength } = entry;
  if (hostOffset >= file.length) {
    throw brokenCluster(
      entry,
      guestOffset,
      `the file has only ${file.length} bytes: it was cut off, or is not all there`,
    );
  }
  const data = new Uint8Array(storedLength);
  yield* settle(file.read(hostOffset, data));
  const { compressor } = metadata.settings;
  try {
    if (compressor.threads === undefined || file.synchronous) compressor.decompress(data, output);
    else yield compressor.threads.decompress(data, output);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    throw brokenCluster(entry, guestOffset, error.message, error);
  }
}

function brokenCluster({ hostOffset, storedLength }: ClusterEntry, guestOffset: number, why: string, cause?: unknown) {
  return new BlockError(
    'corrupt',
    `The guest cluster at offset ${guestOffset} is compressed, ${storedLength} bytes at ${hostOffset} in the file, and cannot ` +
      `be read: ${why}`,
    { offset: guestOffset },
    cause === undefined ? {} : { cause },
  );
}

/** Reads parts of compressed clusters, and keeps the last clusters. */
export class CompressedReader {
  readonly #metadata: Metadata;
  readonly #capacity: number;
  /** By where their bytes begin in the file, the one that was used last at the end. */
  readonly #kept = new Map<number, Uint8Array>();
  /** Being decompressed: whoever wants the same cluster waits for it too. */
  readonly #pending = new Map<number, Promise<Uint8Array>>();
  /** How often something was forgotten: what was begun before that is not kept. */
  #changes = 0;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
    const { clusterSize } = metadata.geometry;
    this.#capacity = Math.min(MAX_KEPT, Math.max(MIN_KEPT, Math.floor(KEPT_BYTES / clusterSize)));
  }

  /** Other bytes are in the file now, at places where compressed clusters were. */
  forget(): void {
    this.#changes++;
    this.#kept.clear();
    this.#pending.clear();
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
    const kept = this.#find(entry.hostOffset);
    if (kept !== undefined) {
      buffer.set(kept.subarray(inCluster, inCluster + buffer.length));
      return;
    }
    // Who reads it whole will not come back for the rest.
    if (buffer.length === clusterSize) return start(decompressCluster(this.#metadata, entry, guest, buffer));
    return chain(this.#cluster(entry, guest), (bytes) =>
      buffer.set(bytes.subarray(inCluster, inCluster + buffer.length)),
    );
  }

  #find(hostOffset: number): Uint8Array | undefined {
    const bytes = this.#kept.get(hostOffset);
    if (bytes === undefined) return undefined;
    this.#kept.delete(hostOffset);
    this.#kept.set(hostOffset, bytes);
    return bytes;
  }

  #cluster(entry: ClusterEntry, guest: number): MaybePromise<Uint8Array> {
    const pending = this.#pending.get(entry.hostOffset);
    if (pending !== undefined) return pending;
    const reading = start(this.#load(entry, guest));
    if (isPromise(reading)) this.#pending.set(entry.hostOffset, reading);
    return reading;
  }

  *#load(entry: ClusterEntry, guest: number): Co<Uint8Array> {
    const changes = this.#changes;
    const bytes = new Uint8Array(this.#metadata.geometry.clusterSize);
    try {
      yield* decompressCluster(this.#metadata, entry, guest, bytes);
    } finally {
      if (changes === this.#changes) this.#pending.delete(entry.hostOffset);
    }
    if (changes === this.#changes) this.#keep(entry.hostOffset, bytes);
    return bytes;
  }

  #keep(hostOffset: number, bytes: Uint8Array): void {
    const oldest = this.#kept.keys().next();
    if (this.#kept.size >= this.#capacity && oldest.done !== true) this.#kept.delete(oldest.value);
    this.#kept.set(hostOffset, bytes);
  }
}

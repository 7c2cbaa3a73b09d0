/**
 * Writing clusters compressed. They are packed one behind the other into host clusters, byte by byte; what cannot be compressed is
 * stored as it is. Bytes go to their place at once and are referred to by the next flush, as with every other write: until then
 * the old cluster is what a power cut leaves.
 *
 * Source: qcow2 specification, "Compressed Clusters Descriptor".
 */
import { chain, settle, withTasks, type Co, type MaybePromise } from '../../co.ts';
import { BlockError } from '../../error.ts';
import { allocate } from './allocate.ts';
import { readEntry } from './entries.ts';
import { compressedHigh, compressedOffsetLimit, entryLow, hostRange } from './l2-entry.ts';
import type { Metadata } from './metadata.ts';

/** So many bytes are compressed before they are written together, and so many clusters at least: they keep threads busy. */
const BATCH_BYTES = 1024 * 1024;
const MIN_BATCH_CLUSTERS = 4;
/** Clusters that are being compressed at a time, where threads do it. */
const PARALLEL_CLUSTERS = 8;

/** A cluster on its way. */
interface Piece {
  /** Where the disk has it. */
  readonly guest: number;
  readonly data: Uint8Array;
  /** Undefined: it could not be compressed. */
  compressed: Uint8Array | undefined;
  hostOffset: number;
}

/**
 * @param offset at the beginning of a cluster
 * @param data whole clusters, but for the last one of the disk, which is filled up with zeroes
 * @param changed is called when bytes in the file were written over that may have been compressed clusters before
 * @see FormatImage.writeEncoded
 * @throws BlockError `unsupported` where the image is encrypted or has a data file, `permission`, `corrupt`, `no-space`, and what the storage throws
 */
export function* writeCompressed(metadata: Metadata, offset: number, data: Uint8Array, changed: () => void): Co<void> {
  metadata.assertWritable();
  if (metadata.settings.encryption !== undefined) {
    throw new BlockError('unsupported', 'Compression and encryption not supported at the same time');
  }
  if (metadata.settings.dataFile !== undefined) {
    throw new BlockError('unsupported', 'An image with an external data file cannot hold compressed clusters');
  }
  const { clusterSize } = metadata.geometry;
  if (offset % clusterSize !== 0) {
    throw new BlockError('internal', 'A compressed write does not begin with a cluster', { offset });
  }
  const batch = Math.max(MIN_BATCH_CLUSTERS, Math.floor(BATCH_BYTES / clusterSize)) * clusterSize;
  for (let done = 0; done < data.length; done += batch) {
    const pieces = yield* compressClusters(metadata, offset + done, data.subarray(done, done + batch));
    for (const { guest, compressed, data: plain } of pieces) {
      if (compressed === undefined) yield* writePlain(metadata, guest, plain);
    }
    const packed = pieces.filter(({ compressed }) => compressed !== undefined);
    if (packed.length > 0) yield* writePacked(metadata, packed, changed);
  }
}

function* compressClusters(metadata: Metadata, offset: number, data: Uint8Array): Co<Piece[]> {
  const { clusterSize } = metadata.geometry;
  const { compressor } = metadata.settings;
  const pieces: Piece[] = [];
  yield* withTasks(PARALLEL_CLUSTERS, function* (tasks) {
    for (let at = 0; at < data.length && !tasks.failed; at += clusterSize) {
      const piece: Piece = {
        guest: offset + at,
        data: wholeCluster(data.subarray(at, at + clusterSize), clusterSize),
        compressed: undefined,
        hostOffset: 0,
      };
      pieces.push(piece);
      const compress = (): MaybePromise<Uint8Array | undefined> =>
        (compressor.threads ?? compressor).compress(piece.data);
      yield* tasks.issue(() =>
        chain(compress(), (compressed) => {
          piece.compressed = compressed;
        }),
      );
    }
  });
  return pieces;
}

/** What the disk does not have of its last cluster is zero. */
function wholeCluster(data: Uint8Array, clusterSize: number): Uint8Array {
  if (data.length === clusterSize) return data;
  const whole = new Uint8Array(clusterSize);
  whole.set(data);
  return whole;
}

/** A cluster that cannot be compressed becomes one like any other. */
function* writePlain(metadata: Metadata, guest: number, data: Uint8Array): Co<void> {
  for (let done = 0; done < data.length;) {
    const allocation = yield* allocate(metadata, guest + done, data.length - done);
    try {
      yield* settle(allocation.child.write(allocation.hostOffset, data.subarray(done, done + allocation.length)));
    } catch (error) {
      yield* settle(allocation.abort());
      throw error;
    }
    yield* settle(allocation.commit());
    done += allocation.length;
  }
}

/** Reserves space for all pieces, writes those that lie side by side together, and publishes them. */
function* writePacked(metadata: Metadata, pieces: readonly Piece[], changed: () => void): Co<void> {
  let reserved = 0;
  let published = 0;
  try {
    yield* metadata.lock.run(function* () {
      for (const piece of pieces) {
        piece.hostOffset = yield* metadata.allocator.takeBytes(
          piece.compressed!.length,
          compressedOffsetLimit(metadata.geometry.clusterSize),
        );
        reserved++;
      }
    });
    changed();
    yield* writeBytes(metadata, pieces);
    yield* metadata.lock.run(function* () {
      for (const piece of pieces) {
        yield* publish(metadata, piece);
        published++;
      }
    });
  } catch (error) {
    // Nobody refers to them: they are given back with the next flush.
    for (const piece of pieces.slice(published, reserved)) giveBack(metadata, piece);
    throw error;
  }
}

function* writeBytes({ file }: Metadata, pieces: readonly Piece[]): Co<void> {
  for (let first = 0; first < pieces.length;) {
    const from = pieces[first]!.hostOffset;
    let end = from;
    let next = first;
    for (; next < pieces.length && pieces[next]!.hostOffset === end; next++) end += pieces[next]!.compressed!.length;
    const bytes = next === first + 1 ? pieces[first]!.compressed! : new Uint8Array(end - from);
    if (next > first + 1) {
      for (const piece of pieces.slice(first, next)) bytes.set(piece.compressed!, piece.hostOffset - from);
    }
    file.event('write_compressed');
    yield* settle(file.write(from, bytes));
    first = next;
  }
}

function* publish(metadata: Metadata, { guest, compressed, hostOffset }: Piece): Co<void> {
  const { clusterSize, sliceSpan } = metadata.geometry;
  const slice = Math.floor(guest / sliceSpan);
  const slot = yield* metadata.writableSlice(slice);
  const index = Math.floor((guest - slice * sliceSpan) / clusterSize);
  const old = readEntry(metadata, slot, slice, index);
  const high = compressedHigh(hostOffset, compressed!.length, clusterSize);
  metadata.setEntry(slot, index, high, entryLow(hostOffset));
  metadata.giveBack(old, metadata.settings.passDiscardOther);
}

function giveBack(metadata: Metadata, { hostOffset, compressed }: Piece): void {
  const { first, count } = hostRange(hostOffset, compressed!.length, metadata.geometry.clusterSize);
  metadata.frees.add(first, count, false);
}

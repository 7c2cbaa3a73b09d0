/**
 * Compressed grains: a marker with the grain's place in the extent and the length of what follows, then a zlib stream.
 *
 * Source: VMware, "Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse Extents"; RFC 1950.
 */
import { chain, settle, withTasks, type Co, type MaybePromise } from '../../co.ts';
import type { Compressor } from '../../compression.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { REQUEST_PARALLELISM, SECTOR_SIZE } from '../../limits.ts';
import { DecodedUnits } from '../shared/decoded-units.ts';
import { GRAIN_DATA, MARKER } from './layout.ts';
import type { SparseHeader } from './sparse-header.ts';
import { putZlib, unwrapZlib, zlibLength } from '../shared/zlib.ts';
import { roundUp } from '../../../binary/round-up.ts';

interface Grain {
  /** In the file. */
  readonly place: number;
  /** In the extent. */
  readonly offset: number;
  /** Bytes of it that belong to the extent. */
  readonly length: number;
}

export class CompressedGrains {
  readonly #file: BlockChild;
  readonly #header: SparseHeader;
  readonly #compressor: Compressor;
  readonly #units: DecodedUnits;

  constructor(file: BlockChild, header: SparseHeader, compressor: Compressor) {
    this.#file = file;
    this.#header = header;
    this.#compressor = compressor;
    this.#units = new DecodedUnits();
  }

  /** Reads a part of a grain. @throws BlockError `corrupt` when it is not there or is broken */
  read(grain: Grain, inGrain: number, buffer: Uint8Array): MaybePromise<void> {
    return this.#units.read(grain.place, this.#header.grainSize, inGrain, buffer, (output) =>
      this.#decode(grain, output),
    );
  }

  *#decode(grain: Grain, output: Uint8Array): Co<void> {
    const { data, exact } = yield* this.#stored(grain);
    try {
      yield* this.#inflate(data, exact, grain.length, output);
    } catch (error) {
      if (!(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
      const message = `The compressed grain at offset ${grain.offset}, at ${grain.place} in the file, cannot be read: ${error.message}`;
      throw new BlockError('corrupt', message, { offset: grain.offset }, { cause: error });
    }
  }

  /** @returns the zlib stream; `exact`: nothing follows it */
  *#stored({ place, offset }: Grain): Co<{ data: Uint8Array; exact: boolean }> {
    const { grainSize, markers } = this.#header;
    const available = this.#file.length - place;
    if (!markers) {
      const data = new Uint8Array(Math.min(available, maxStored(grainSize)));
      yield* settle(this.#file.read(place, data));
      return { data, exact: false };
    }
    const first = new Uint8Array(SECTOR_SIZE);
    yield* settle(this.#file.read(place, first));
    const view = new DataView(first.buffer);
    const length = view.getUint32(MARKER.size, true);
    const sector = view.getBigUint64(MARKER.value, true);
    if (sector !== BigInt(offset / SECTOR_SIZE) || length === 0 || length > maxStored(grainSize)) {
      const found = `one of ${length} bytes for sector ${sector} is there`;
      throw new BlockError(
        'corrupt',
        `The marker of the grain at offset ${offset} should be at ${place}, and ${found}`,
        { offset },
      );
    }
    if (GRAIN_DATA + length > available) {
      throw new BlockError(
        'corrupt',
        `The grain at ${place} has ${length} bytes, and the file ends before: it was cut off`,
        { offset },
      );
    }
    const data = new Uint8Array(length);
    data.set(first.subarray(GRAIN_DATA, GRAIN_DATA + length));
    const rest = SECTOR_SIZE - GRAIN_DATA;
    if (length > rest) yield* settle(this.#file.read(place + SECTOR_SIZE, data.subarray(rest)));
    return { data, exact: true };
  }

  /** The last grain of a disk may be stored only as far as the disk goes. */
  *#inflate(data: Uint8Array, exact: boolean, length: number, output: Uint8Array): Co<void> {
    const stream = unwrapZlib(data);
    const wholes = length < output.length ? [output, output.subarray(0, length)] : [output];
    for (const [attempt, whole] of wholes.entries()) {
      try {
        if (this.#compressor.threads === undefined || this.#file.synchronous) {
          this.#compressor.decompress(stream.deflate, whole);
        } else {
          yield this.#compressor.threads.decompress(stream.deflate, whole);
        }
        if (exact) stream.verify(whole);
        return;
      } catch (error) {
        if (attempt === wholes.length - 1) throw error;
      }
    }
  }

  /** @returns grains as they are stored, each in whole sectors. @param data whole grains, but for the last one of the extent */
  *compress(offset: number, data: Uint8Array): Co<{ offset: number; bytes: Uint8Array }[]> {
    const { grainSize } = this.#header;
    if (offset % grainSize !== 0)
      throw new BlockError('internal', 'A compressed write must begin with a grain', { offset });
    const compressor = this.#compressor.threads ?? this.#compressor;
    const stored: { offset: number; bytes: Uint8Array }[] = [];
    yield* withTasks(REQUEST_PARALLELISM, function* (tasks) {
      for (let at = 0; at < data.length && !tasks.failed; at += grainSize) {
        const piece = data.subarray(at, at + grainSize);
        const index = at / grainSize;
        yield* tasks.issue(() =>
          chain(compressor.compress(piece), (deflate) => {
            stored[index] = { offset: offset + at, bytes: storedGrain(offset + at, piece, deflate) };
          }),
        );
      }
    });
    return stored;
  }
}

/** More than any program makes of a grain that cannot be compressed. */
function maxStored(grainSize: number): number {
  return 2 * grainSize + SECTOR_SIZE;
}

function storedGrain(offset: number, data: Uint8Array, deflate: Uint8Array | undefined): Uint8Array {
  const length = zlibLength(data, deflate);
  const bytes = new Uint8Array(roundUp(GRAIN_DATA + length, SECTOR_SIZE));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(MARKER.value, BigInt(offset / SECTOR_SIZE), true);
  view.setUint32(MARKER.size, length, true);
  putZlib(bytes, GRAIN_DATA, data, deflate);
  return bytes;
}

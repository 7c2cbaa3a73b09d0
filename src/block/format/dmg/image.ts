import { start, type Co, type MaybePromise } from '../../co.ts';
import type { Compressor } from '../../compression.ts';
import {
  BYTE_LIMITS,
  type BlockChild,
  type CheckFix,
  type CheckResult,
  type FormatImage,
  type FormatInfo,
  type Progress,
} from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { dataExtent, encodedExtent, zeroExtent, type Extent } from '../../extent.ts';
import { DecodedUnits } from '../shared/decoded-units.ts';
import { checkDmg } from './check.ts';
import { decodeChunk } from './chunk-codecs.ts';
import { KEPT_CHUNKS } from './layout.ts';
import { allChunks, type Chunk, type ChunkTable } from './tables.ts';
import type { Trailer } from './trailer.ts';

/** A disk made of chunks, each stored as it is, left out, or compressed on its own. Read-only. */
export class DmgImage implements FormatImage {
  readonly limits = BYTE_LIMITS;
  readonly allocationUnit = 1;
  readonly backing = undefined;
  readonly hasZeroInit = true;
  readonly virtualSize: number;
  readonly #file: BlockChild;
  readonly #trailer: Trailer;
  readonly #tables: readonly ChunkTable[];
  readonly #chunks: readonly Chunk[];
  readonly #deflate: Compressor;
  readonly #decoded = new DecodedUnits(KEPT_CHUNKS);

  constructor(file: BlockChild, trailer: Trailer, tables: readonly ChunkTable[], deflate: Compressor) {
    this.#file = file;
    this.#trailer = trailer;
    this.#tables = tables;
    this.#chunks = allChunks(tables);
    this.#deflate = deflate;
    const last = this.#chunks.at(-1);
    this.virtualSize = last === undefined ? 0 : last.guestOffset + last.guestLength;
  }

  map(offset: number, length: number): Extent {
    const chunk = this.#chunks[this.#find(offset)]!;
    const inChunk = offset - chunk.guestOffset;
    const covered = Math.min(length, chunk.guestLength - inChunk);
    if (chunk.kind === 'zero') return zeroExtent(covered);
    if (chunk.kind === 'raw') return dataExtent(this.#file, chunk.hostOffset + inChunk, covered, false);
    return encodedExtent(covered, 'compressed', chunk.hostOffset);
  }

  readEncoded(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const index = this.#find(offset);
    const chunk = this.#chunks[index]!;
    const at = offset - chunk.guestOffset;
    return this.#decoded.read(index, chunk.guestLength, at, buffer, (output) => this.#decode(chunk, output));
  }

  /** @throws BlockError `corrupt` when no chunk holds the offset */
  #find(offset: number): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#chunks[middle]!.guestOffset <= offset) low = middle;
      else high = middle - 1;
    }
    const chunk = this.#chunks[low];
    if (chunk === undefined || offset < chunk.guestOffset || offset >= chunk.guestOffset + chunk.guestLength) {
      throw new BlockError('corrupt', 'No chunk of the dmg image says what is here: a table is not all there', {
        offset,
      });
    }
    return low;
  }

  #decode(chunk: Chunk, output: Uint8Array): Co<void> {
    return decodeChunk(this.#file, this.#deflate, chunk, output);
  }

  /** Reads the whole image: its checksums are over everything. */
  check(_fix: CheckFix, progress?: Progress): MaybePromise<CheckResult> {
    const image = { file: this.#file, trailer: this.#trailer, tables: this.#tables };
    return start(checkDmg(image, (chunk, output) => this.#decode(chunk, output), progress));
  }

  info(): FormatInfo {
    return { format: 'dmg', virtualSize: this.virtualSize, specific: {} };
  }

  close(): void {
    // Nothing is ever written.
  }
}

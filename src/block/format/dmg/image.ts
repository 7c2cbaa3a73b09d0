import { decompressAdc } from '../../../codec/adc.ts';
import { decompressBzip2 } from '../../../codec/bzip2.ts';
import { decompressLzfse } from '../../../codec/lzfse.ts';
import { settle, type Co, type MaybePromise } from '../../co.ts';
import type { Compressor } from '../../compression.ts';
import { BYTE_LIMITS, type BlockChild, type FormatImage, type FormatInfo } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { dataExtent, encodedExtent, zeroExtent, type Extent } from '../../extent.ts';
import { DecodedChunks } from '../shared/decoded-chunks.ts';
import { KEPT_BYTES, MAX_KEPT } from './layout.ts';
import type { Chunk } from './tables.ts';

const ZLIB_HEADER = 2;

/** A disk made of chunks, each stored as it is, left out, or compressed on its own. Read-only. */
export class DmgImage implements FormatImage {
  readonly limits = BYTE_LIMITS;
  readonly allocationUnit = 1;
  readonly backing = undefined;
  readonly hasZeroInit = true;
  readonly virtualSize: number;
  readonly #file: BlockChild;
  readonly #chunks: readonly Chunk[];
  readonly #deflate: Compressor;
  readonly #decoded: DecodedChunks;

  /** @param chunks in guest order */
  constructor(file: BlockChild, chunks: readonly Chunk[], deflate: Compressor) {
    const last = chunks.at(-1);
    this.virtualSize = last === undefined ? 0 : last.guestOffset + last.guestLength;
    this.#file = file;
    this.#chunks = chunks;
    this.#deflate = deflate;
    this.#decoded = new DecodedChunks((index) => this.#decode(index), KEPT_BYTES, MAX_KEPT);
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
    return this.#decoded.read(index, offset - this.#chunks[index]!.guestOffset, buffer);
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

  *#decode(index: number): Co<Uint8Array> {
    const chunk = this.#chunks[index]!;
    const data = new Uint8Array(chunk.hostLength);
    yield* settle(this.#file.read(chunk.hostOffset, data));
    const output = new Uint8Array(chunk.guestLength);
    try {
      this.#decompress(chunk, data, output);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
      throw new BlockError(
        'corrupt',
        `The chunk at offset ${chunk.guestOffset} is compressed (${chunk.kind}), ${chunk.hostLength} bytes at ` +
          `${chunk.hostOffset} in the file, and cannot be read: ${error.message}`,
        { offset: chunk.guestOffset },
        { cause: error },
      );
    }
    return output;
  }

  #decompress({ kind }: Chunk, data: Uint8Array, output: Uint8Array): void {
    if (kind === 'adc') decompressAdc(data, output);
    else if (kind === 'bzip2') decompressBzip2(data, output);
    else if (kind === 'lzfse') decompressLzfse(data, output);
    else this.#deflate.decompress(withoutZlibHeader(data), output);
  }

  info(): FormatInfo {
    return { format: 'dmg', virtualSize: this.virtualSize, specific: {} };
  }

  close(): void {
    // Nothing is ever written.
  }
}

/** Source: RFC 1950. A dictionary, which needs bit 5 of the second byte, belongs to no image. */
function withoutZlibHeader(data: Uint8Array): Uint8Array {
  const [method = 0, flags = 0] = data;
  if ((method & 15) !== 8 || (method * 256 + flags) % 31 !== 0 || (flags & 0x20) !== 0) {
    throw new BlockError('corrupt', 'the zlib stream is broken (its header is wrong)');
  }
  return data.subarray(ZLIB_HEADER);
}

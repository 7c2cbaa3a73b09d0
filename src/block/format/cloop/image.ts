import { settle, type Co, type MaybePromise } from '../../co.ts';
import type { Compressor } from '../../compression.ts';
import { BYTE_LIMITS, type BlockChild, type BlockLimits, type FormatImage, type FormatInfo } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { encodedExtent, type Extent } from '../../extent.ts';
import { DecodedUnits, type KeptUnits } from '../shared/decoded-units.ts';
import { unwrapZlib } from '../shared/zlib.ts';
import type { CloopHeader } from './header.ts';

/** A block may have 64 MiB: that much is kept, and no more. */
const KEPT_BLOCKS: KeptUnits = { bytes: 1024 * 1024, atLeast: 1, atMost: 16 };

/** An opened cloop image: every block is a zlib stream. */
export class CloopImage implements FormatImage {
  readonly limits: BlockLimits = BYTE_LIMITS;
  readonly allocationUnit: number;
  readonly hasZeroInit = true;
  readonly backing = undefined;
  readonly #file: BlockChild;
  readonly #header: CloopHeader;
  readonly #compressor: Compressor;
  readonly #blocks: DecodedUnits;

  constructor(file: BlockChild, header: CloopHeader, compressor: Compressor) {
    this.#file = file;
    this.#header = header;
    this.#compressor = compressor;
    this.allocationUnit = header.blockSize;
    this.#blocks = new DecodedUnits(KEPT_BLOCKS);
  }

  get virtualSize(): number {
    return this.#header.blocks * this.#header.blockSize;
  }

  map(offset: number, length: number): Extent {
    const { blockSize } = this.#header;
    return encodedExtent(Math.min(length, blockSize - (offset % blockSize)), 'compressed');
  }

  readEncoded(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const { blockSize } = this.#header;
    const block = Math.floor(offset / blockSize);
    return this.#blocks.read(block, blockSize, offset % blockSize, buffer, (output) => this.#decode(block, output));
  }

  *#decode(block: number, output: Uint8Array): Co<void> {
    const { offsets, blockSize } = this.#header;
    const place = offsets[block]!;
    const data = new Uint8Array(offsets[block + 1]! - place);
    yield* settle(this.#file.read(place, data));
    try {
      const { deflate, verify } = unwrapZlib(data);
      const { threads } = this.#compressor;
      if (threads === undefined || this.#file.synchronous) this.#compressor.decompress(deflate, output);
      else yield threads.decompress(deflate, output);
      verify(output);
    } catch (error) {
      if (!(error instanceof BlockError) || error.kind !== 'corrupt') throw error;
      const what = `Block ${block}, ${data.length} bytes at ${place} in the file, cannot be read: ${error.message}`;
      throw new BlockError('corrupt', what, { offset: block * blockSize }, { cause: error });
    }
  }

  info(): FormatInfo {
    return { format: 'cloop', virtualSize: this.virtualSize, specific: {} };
  }

  close(): void {
    // Nothing was changed.
  }
}

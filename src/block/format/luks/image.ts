/** An opened LUKS image: one piece of its file, encrypted. */
import { chain, type MaybePromise } from '../../co.ts';
import type { AmendOptions } from '../../crypto/luks/options.ts';
import type { OpenedVolume, VolumePlace } from '../../crypto/luks/volume.ts';
import {
  BYTE_LIMITS,
  type AmendContext,
  type BlockChild,
  type BlockLimits,
  type FormatImage,
  type FormatInfo,
} from '../../driver.ts';
import { dataExtent, type Extent } from '../../extent.ts';
import { BlockError } from '../../error.ts';

export class LuksImage implements FormatImage {
  /** Sectors are encrypted whole. */
  readonly limits: BlockLimits;
  readonly allocationUnit = 1;
  readonly backing = undefined;
  /** What was never written is what zeroes decrypt to. */
  readonly hasZeroInit = false;
  readonly #file: BlockChild;
  readonly #volume: OpenedVolume;
  readonly #disk: BlockChild;
  readonly #place: VolumePlace;
  #virtualSize: number;

  /**
   * @param disk the file, decrypted
   * @param place where the disk is in the file
   */
  constructor(file: BlockChild, volume: OpenedVolume, disk: BlockChild, place: VolumePlace) {
    this.#file = file;
    this.#volume = volume;
    this.#disk = disk;
    this.#place = place;
    this.limits = { ...BYTE_LIMITS, requestAlignment: place.sectorSize };
    const rest = file.length - place.offset;
    this.#virtualSize = place.size ?? rest - (rest % place.sectorSize);
  }

  get virtualSize(): number {
    return this.#virtualSize;
  }

  map(offset: number, length: number): Extent {
    return dataExtent(this.#disk, this.#place.offset + offset, length, true);
  }

  /** What is new shows what zeroes decrypt to, as with QEMU. */
  resize(virtualSize: number): MaybePromise<void> {
    const { offset, size, sectorSize } = this.#place;
    if (size !== undefined) {
      throw new BlockError(
        'unsupported',
        `The header of the image says that its disk has ${size} bytes: it has to stay so`,
      );
    }
    if (virtualSize % sectorSize !== 0) {
      throw new BlockError('invalid', `The disk's size must be a multiple of its sectors of ${sectorSize} bytes`);
    }
    return chain(this.#file.truncate(offset + virtualSize), () => {
      this.#virtualSize = virtualSize;
    });
  }

  amend(options: AmendOptions, context: AmendContext): MaybePromise<void> {
    return this.#volume.amend(options, context);
  }

  info(): FormatInfo {
    return {
      format: 'luks',
      virtualSize: this.#virtualSize,
      encrypted: true,
      specific: this.#volume.info(),
    };
  }

  close(): void {
    // There is nothing to write back: every write went to the file.
  }
}

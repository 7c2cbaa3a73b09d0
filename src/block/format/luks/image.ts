/** An opened LUKS image: one piece of its file, encrypted. */
import { chain, start, type MaybePromise } from '../../co.ts';
import { luksInfo } from '../../crypto/luks/header.ts';
import type { AmendOptions } from '../../crypto/luks/options.ts';
import type { LuksVolume } from '../../crypto/luks/volume.ts';
import { BYTE_LIMITS, type AmendContext, type BlockChild, type FormatImage, type FormatInfo } from '../../driver.ts';
import { dataExtent, type Extent } from '../../extent.ts';
import { SECTOR_SIZE } from '../../limits.ts';

export class LuksImage implements FormatImage {
  /** Sectors are encrypted whole. */
  readonly limits = { ...BYTE_LIMITS, requestAlignment: SECTOR_SIZE };
  readonly allocationUnit = 1;
  readonly backing = undefined;
  /** What was never written is what zeroes decrypt to. */
  readonly hasZeroInit = false;
  readonly #file: BlockChild;
  readonly #volume: LuksVolume;
  readonly #disk: BlockChild;
  readonly #payload: number;
  #virtualSize: number;

  /**
   * @param disk the file, decrypted
   * @param payload bytes from the start of the file to the disk
   */
  constructor(file: BlockChild, volume: LuksVolume, disk: BlockChild, payload: number) {
    this.#file = file;
    this.#volume = volume;
    this.#disk = disk;
    this.#payload = payload;
    this.#virtualSize = file.length - payload - ((file.length - payload) % SECTOR_SIZE);
  }

  get virtualSize(): number {
    return this.#virtualSize;
  }

  map(offset: number, length: number): Extent {
    return dataExtent(this.#disk, this.#payload + offset, length, true);
  }

  /** What is new shows what zeroes decrypt to, as with QEMU. */
  resize(virtualSize: number): MaybePromise<void> {
    return chain(this.#file.truncate(this.#payload + virtualSize), () => {
      this.#virtualSize = virtualSize;
    });
  }

  amend(options: AmendOptions, context: AmendContext): MaybePromise<void> {
    return start(this.#volume.amend(options, context));
  }

  info(): FormatInfo {
    return {
      format: 'luks',
      virtualSize: this.#virtualSize,
      encrypted: true,
      specific: luksInfo(this.#volume.header),
    };
  }

  close(): void {
    // There is nothing to write back: every write went to the file.
  }
}

import { BYTE_LIMITS, type BlockChild, type FormatImage, type FormatInfo } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { dataExtent, type Extent } from '../../extent.ts';

/** A fixed VHD: the disk byte for byte, and a footer behind it. */
export class FixedImage implements FormatImage {
  readonly limits = BYTE_LIMITS;
  readonly allocationUnit = 1;
  readonly backing = undefined;
  readonly hasZeroInit = true;
  readonly dataInHoles = true;
  readonly virtualSize: number;
  readonly #file: BlockChild;

  /** @throws BlockError `corrupt` when the file does not hold the disk */
  constructor(file: BlockChild, virtualSize: number) {
    if (virtualSize > file.length) {
      throw new BlockError(
        'corrupt',
        `The disk has ${virtualSize} bytes, and the file only ${file.length}: it was cut off`,
      );
    }
    this.#file = file;
    this.virtualSize = virtualSize;
  }

  map(offset: number, length: number): Extent {
    return dataExtent(this.#file, offset, length, true);
  }

  info(): FormatInfo {
    return { format: 'vpc', virtualSize: this.virtualSize, specific: {} };
  }

  close(): void {
    // There is nothing to write back: every write went to the file.
  }
}

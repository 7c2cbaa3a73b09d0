/**
 * `cdraw`: the raw sectors of a CD, as in `.bin` files: 2352 bytes each, of which a drive gives 2048. Mode 1, and form 1 of mode 2.
 * Read-only. QEMU has nothing like it.
 *
 * Source: see layout.ts.
 */
import { settle, type Co } from '../../co.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage, type OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { CdRawImage } from './image.ts';
import { RAW_SECTOR } from './layout.ts';
import { addressOf, dataOffset, isSync } from './sector.ts';

export const cdraw: FormatDriver<Record<string, never>, Record<string, never>> = {
  kind: 'format',
  name: 'cdraw',
  capabilities: NO_CAPABILITIES,
  openOptions: {},
  createOptions: {},

  /** Two sectors one behind the other, where there are two: the pattern alone could be anybody's. */
  probe({ head, size }) {
    if (size < RAW_SECTOR || size % RAW_SECTOR !== 0 || !isSync(head)) return 0;
    if (dataOffset(head) === undefined) return 0;
    if (size === RAW_SECTOR) return 50;
    const second = head.subarray(RAW_SECTOR);
    return isSync(second) && addressOf(second) === addressOf(head) + 1 ? 80 : 0;
  },

  open: openImage,
};

function* openImage({ file }: OpenContext): Co<FormatImage> {
  if (file.length === 0 || file.length % RAW_SECTOR !== 0) {
    throw new BlockError(
      'corrupt',
      `A raw CD image is made of sectors of ${RAW_SECTOR} bytes; the file has ${file.length} bytes: it was cut off, or is none`,
    );
  }
  const first = new Uint8Array(RAW_SECTOR);
  yield* settle(file.read(0, first));
  if (!isSync(first)) {
    throw new BlockError(
      'corrupt',
      'This is no raw CD image: its first sector does not begin with the pattern of data sectors',
    );
  }
  if (dataOffset(first) === undefined) {
    throw new BlockError(
      'unsupported',
      'The first sector of the CD holds no data that a drive could give: neither mode 1 nor form 1 of mode 2',
    );
  }
  return new CdRawImage(file);
}

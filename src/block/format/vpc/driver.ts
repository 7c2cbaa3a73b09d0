/**
 * `vpc`: VHD, the disk image of Virtual PC, Hyper-V and XenServer: fixed and dynamic, and differencing disks read.
 *
 * Writes are safe from power cuts: a new block, and the footer behind it, are on stable storage before the table leads there.
 *
 * Source: Microsoft, "Virtual Hard Disk Image Format Specification"; option names and sizes as QEMU's.
 */
import { settle, type Co } from '../../co.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage, type OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { create, createOptions } from './create.ts';
import { DifferencingImage } from './differencing-image.ts';
import { readDynamicHeader } from './dynamic-header.ts';
import { DynamicImage, readTable } from './dynamic-image.ts';
import { FixedImage } from './fixed-image.ts';
import { checksum, decodeFooter, diskSize, isFooter } from './footer.ts';
import { FOOTER, FOOTER_LENGTH, TYPE_DIFFERENCING, TYPE_FIXED } from './layout.ts';

const openOptions = {
  force_size_calc: {
    type: 'enum',
    values: ['current_size', 'chs'],
    help: 'Force disk size calculation to use either CHS geometry, or use the disk current_size specified in the VHD footer',
  },
} as const satisfies OptionSchema;

export const vpc: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'vpc',
  capabilities: { ...NO_CAPABILITIES, write: true, create: true },
  openOptions,
  createOptions,

  /** Dynamic disks have a copy of the footer in front. Of a fixed disk the front is the guest's, so that is less sure. */
  probe({ head, tail }) {
    if (isFooter(head.subarray(0, FOOTER_LENGTH))) return 100;
    const footer = tail.subarray(-FOOTER_LENGTH);
    if (footer.length < FOOTER_LENGTH || !isFooter(footer)) return 0;
    const view = new DataView(footer.buffer, footer.byteOffset, footer.byteLength);
    return view.getUint32(FOOTER.checksum) === checksum(footer, FOOTER.checksum) ? 70 : 0;
  },

  open: openImage,
  create,
};

function* openImage({ file, flags, options }: OpenContext<OptionValues<typeof openOptions>>): Co<FormatImage> {
  const bytes = yield* readFooter(file);
  const footer = decodeFooter(bytes);
  const virtualSize = diskSize(footer, options.force_size_calc);
  if (footer.diskType === TYPE_FIXED) return new FixedImage(file, virtualSize);
  const differencing = footer.diskType === TYPE_DIFFERENCING;
  if (differencing && !flags.readOnly) {
    throw new BlockError(
      'unsupported',
      'Differencing VHD images can be read, not written: put an overlay of another format over it',
    );
  }
  const header = yield* readDynamicHeader(file, footer.dataOffset, differencing, virtualSize);
  const opened = { file, readOnly: flags.readOnly, header, footer: bytes, virtualSize, uuid: footer.uuid };
  const table = yield* readTable(opened);
  return differencing ? new DifferencingImage(opened, table) : new DynamicImage(opened, table);
}

/** In front, or else at the end. Old programs wrote a footer of 511 bytes. */
function* readFooter(file: OpenContext['file']): Co<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(FOOTER_LENGTH);
  yield* settle(file.read(0, bytes));
  if (isFooter(bytes)) return bytes;
  for (const length of [FOOTER_LENGTH, FOOTER_LENGTH - 1]) {
    if (file.length < length) continue;
    bytes.fill(0);
    yield* settle(file.read(file.length - length, bytes));
    if (isFooter(bytes)) return bytes;
  }
  throw new BlockError('corrupt', 'invalid VPC image: there is no footer, neither in front nor at the end');
}

/**
 * `vdi`: VirtualBox's disk image, dynamic and static, and differencing images read.
 *
 * Writes are safe from power cuts: an entry of the block map goes down when its block is on stable storage, not before.
 *
 * Source: VirtualBox, VDICore.h; option names from qemu-img.
 */
import type { Co } from '../../co.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage, type OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { create, createOptions } from './create.ts';
import { readHeader } from './header.ts';
import { VdiImage } from './image.ts';
import { FIELD, SIGNATURE, TYPE_DIFFERENCING } from './layout.ts';

const openOptions = {} as const;

export const vdi: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'vdi',
  capabilities: { ...NO_CAPABILITIES, write: true, create: true, check: true, repair: true },
  openOptions,
  createOptions,

  probe({ head }) {
    if (head.length < FIELD.signature + 4) return 0;
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    return view.getUint32(FIELD.signature, true) === SIGNATURE ? 100 : 0;
  },

  open: openImage,
  create,
};

function* openImage({ file, flags }: OpenContext): Co<FormatImage> {
  const read = yield* readHeader(file);
  if (!flags.readOnly && read.header.imageType === TYPE_DIFFERENCING) {
    throw new BlockError(
      'unsupported',
      'Differencing VDI images can be read, not written: put an overlay of another format over it',
    );
  }
  return yield* VdiImage.load(file, read, flags.readOnly);
}

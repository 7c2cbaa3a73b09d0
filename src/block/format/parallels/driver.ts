/**
 * `parallels`: expandable images of Parallels Desktop and Virtuozzo, with entries that count sectors or clusters.
 *
 * Writes are safe from power cuts: a new cluster is on stable storage before the table leads there. While an image is open for
 * writing it says so, and one that was not closed is checked when it is opened next: what a cut leaves is clusters at the end that
 * nothing leads to, and those are cut off.
 *
 * Source: QEMU, docs/interop/parallels.txt; option names from qemu-img.
 */
import type { Co } from '../../co.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage, type OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { create, createOptions } from './create.ts';
import { readExtension } from './extension.ts';
import { magicOf, readHeader } from './header.ts';
import { ParallelsImage } from './image.ts';
import { FIELD, VERSION } from './layout.ts';

const openOptions = {} as const;

export const parallels: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'parallels',
  capabilities: { ...NO_CAPABILITIES, write: true, create: true, check: true, repair: true },
  openOptions,
  createOptions,

  probe({ head }) {
    if (head.length < FIELD.version + 4 || magicOf(head) === undefined) return 0;
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    return view.getUint32(FIELD.version, true) === VERSION ? 100 : 0;
  },

  open: openImage,
  create,
};

function* openImage({ file, flags }: OpenContext): Co<FormatImage> {
  const header = yield* readHeader(file);
  const extension = yield* readExtension(file, header);
  if (!flags.readOnly && extension.necessary !== undefined) {
    throw new BlockError(
      'unsupported',
      `The format extension has the feature 0x${extension.necessary.toString(16)}, which whoever writes to the image must keep up: it can be read, not written`,
    );
  }
  return yield* ParallelsImage.load(file, header, extension, flags);
}

/**
 * `qed`: QEMU Enhanced Disk, a copy-on-write format with two levels of tables and no reference counts.
 *
 * Source: QEMU, docs/interop/qed_spec.rst; option names from qemu-img.
 */
import { settle, type Co } from '../../co.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage, type OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { create, createOptions } from './create.ts';
import { readHeader } from './header.ts';
import { QedImage } from './image.ts';
import { FEATURE_NEED_CHECK, FIELD, MAGIC } from './layout.ts';
import { QedTables } from './tables.ts';

const openOptions = {} as const;

export const qed: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'qed',
  capabilities: {
    ...NO_CAPABILITIES,
    write: true,
    create: true,
    backing: true,
    check: true,
    repair: true,
    resize: true,
  },
  openOptions,
  createOptions,

  probe({ head }) {
    if (head.length < 4) return 0;
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    return view.getUint32(FIELD.magic, true) === MAGIC ? 100 : 0;
  },

  open: openImage,
  create,
};

function* openImage({ file, flags }: OpenContext): Co<FormatImage> {
  const header = yield* readHeader(file);
  const image = new QedImage(yield* QedTables.load(file, header), flags.readOnly);
  if (flags.readOnly || flags.check === true) return image;
  if ((header.features & FEATURE_NEED_CHECK) !== 0n) yield* mend(image);
  return image;
}

/** Who had the image open before did not close it. */
function* mend(image: QedImage): Co<void> {
  const { corruptions } = yield* settle(image.check('all'));
  if (corruptions === 0) return;
  throw new BlockError(
    'corrupt',
    `The image was not closed, and ${corruptions} of its errors cannot be repaired: open it read-only, and copy what can be read`,
  );
}

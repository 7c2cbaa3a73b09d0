/**
 * `bochs`: growing disk images of the emulator Bochs, versions 1 and 2. Read-only, so there is nothing that a power cut could harm.
 *
 * Source: Bochs, Developers Guide, "redolog"; QEMU's behaviour.
 */
import type { Co } from '../../co.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage, type OpenContext } from '../../driver.ts';
import { isHeader, readHeader } from './header.ts';
import { BochsImage } from './image.ts';

const noOptions = {} as const;

export const bochs: FormatDriver<typeof noOptions, typeof noOptions> = {
  kind: 'format',
  name: 'bochs',
  capabilities: NO_CAPABILITIES,
  openOptions: noOptions,
  createOptions: noOptions,

  probe({ head, size }) {
    return size >= 512 && isHeader(head) ? 100 : 0;
  },

  open: openImage,
};

function* openImage({ file }: OpenContext): Co<FormatImage> {
  return yield* BochsImage.load(file, yield* readHeader(file));
}

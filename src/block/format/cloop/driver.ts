/**
 * `cloop`: compressed images of the Linux driver of that name, version 2. Read-only, so there is nothing that a power cut could harm.
 *
 * Source: cloop's README; the behaviour of QEMU and of `create_compressed_fs`.
 */
import { settle, type Co } from '../../co.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage, type OpenContext } from '../../driver.ts';
import { readHeader } from './header.ts';
import { CloopImage } from './image.ts';
import { MAGIC } from './layout.ts';

const noOptions = {} as const;
const magic = new TextEncoder().encode(MAGIC);
/** QEMU's score: a shell script that says so is no more than a hint. */
const SCORE = 2;

export const cloop: FormatDriver<typeof noOptions, typeof noOptions> = {
  kind: 'format',
  name: 'cloop',
  capabilities: NO_CAPABILITIES,
  openOptions: noOptions,
  createOptions: noOptions,

  probe({ head }) {
    return head.length >= magic.length && magic.every((byte, index) => head[index] === byte) ? SCORE : 0;
  },

  open: openImage,
};

function* openImage({ file, compression }: OpenContext): Co<FormatImage> {
  const header = yield* readHeader(file);
  return new CloopImage(file, header, yield* settle(compression.load('deflate')));
}

/**
 * `compress`: everything that is written through it is stored compressed, where the image's format can.
 *
 * Source: QEMU, "compress" filter driver (QAPI, BlockdevOptionsGenericFormat).
 */
import { BlockError } from '../../error.ts';
import type { MaybePromise } from '../../co.ts';
import type { BlockChild, Filter, FilterDriver, RequestFlags } from '../../driver.ts';

export const compress: FilterDriver = {
  kind: 'filter',
  name: 'compress',
  options: {},

  // A coroutine by its type; nothing has to be read.
  // oxlint-disable-next-line require-yield
  *open({ file }) {
    if (file.compresses !== true) {
      throw new BlockError('unsupported', `Compression is not supported for the format of '${file.nodeName}'`);
    }
    return new CompressFilter();
  },
};

class CompressFilter implements Filter {
  write(next: BlockChild, offset: number, data: Uint8Array, flags: RequestFlags): MaybePromise<void> {
    return next.write(offset, data, { ...flags, compressed: true });
  }
}

/**
 * `vmdk`: the disk images of VMware: single and split, sparse and flat, streamOptimized; those of ESX servers, and the old COWD.
 *
 * Writes are safe from power cuts: a new grain is on stable storage before the grain tables lead to it, and a new CID is before
 * anything of the disk changes. The two copies of the tables are written together, so after a cut one may know a grain that the
 * other does not; it was not flushed then.
 *
 * Source: VMware, "Virtual Disk Format 5.0"; option names, subformats and messages as QEMU's.
 */
import { NO_CAPABILITIES, type FormatDriver } from '../../driver.ts';
import { create, createOptions } from './create.ts';
import { looksLikeDescriptor } from './descriptor.ts';
import { openImage } from './open.ts';
import { magicOf } from './sparse-header.ts';

const openOptions = {
  extents: { type: 'object', help: 'Files of the extents that a descriptor names, by their numbers' },
} as const;

export const vmdk: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'vmdk',
  capabilities: { ...NO_CAPABILITIES, write: true, create: true, backing: true, check: true, compress: true },
  openOptions,
  createOptions,

  probe({ head }) {
    return magicOf(head) !== undefined || looksLikeDescriptor(head) ? 100 : 0;
  },

  open: openImage,
  create,
};

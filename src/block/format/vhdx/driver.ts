/**
 * `vhdx`: the disk image of Hyper-V, dynamic and fixed.
 *
 * Writes are safe from power cuts: data is on stable storage before the table leads there, and the table changes through the log,
 * which whoever opens the image next replays.
 *
 * Source: Microsoft, MS-VHDX; option names, defaults and limits as QEMU's.
 */
import { settle, type Co } from '../../co.ts';
import { NO_CAPABILITIES, type FormatDriver, type FormatImage, type OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { randomGuid } from '../shared/guid.ts';
import { BlockAllocationTable } from './bat.ts';
import { create, createOptions } from './create.ts';
import { checkLogForWriting, VhdxHeaders } from './header.ts';
import { VhdxImage, type LogState } from './image.ts';
import { FILE_SIGNATURE, NO_GUID } from './layout.ts';
import { findActiveSequence, replay } from './log-replay.ts';
import { readMetadata } from './metadata.ts';
import { readRegions } from './regions.ts';

const openOptions = {} as const;

export const vhdx: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'vhdx',
  capabilities: { ...NO_CAPABILITIES, write: true, create: true, check: true, repair: true },
  openOptions,
  createOptions,

  probe({ head }) {
    return isVhdx(head) ? 100 : 0;
  },

  open: openImage,
  create,
};

function isVhdx(head: Uint8Array): boolean {
  if (head.length < 8) return false;
  return new DataView(head.buffer, head.byteOffset, head.byteLength).getBigUint64(0, true) === FILE_SIGNATURE;
}

function* openImage({ file, flags }: OpenContext): Co<FormatImage> {
  const identifier = new Uint8Array(8);
  yield* settle(file.read(0, identifier));
  if (!isVhdx(identifier)) {
    throw new BlockError('corrupt', 'Image not in VHDX format: it does not begin with "vhdxfile"');
  }
  const headers = yield* VhdxHeaders.load(file);
  // First of all: whatever is read next may be what the log changes.
  const logState = yield* settleLog(file, headers, flags);
  const regions = yield* readRegions(file, headers.current);
  const metadata = yield* readMetadata(file, regions.metadata);
  if (!flags.readOnly) checkLogForWriting(headers.current, file.length);
  return new VhdxImage(headers, new BlockAllocationTable(file, regions, metadata), flags.readOnly, logState);
}

/** @throws BlockError `permission` when the log must be replayed and the image is read-only, but for a check */
function* settleLog(file: OpenContext['file'], headers: VhdxHeaders, flags: OpenContext['flags']): Co<LogState> {
  const active = yield* findActiveSequence(file, headers.current);
  if (active === undefined) return 'empty';
  if (!flags.readOnly) {
    yield* replay(file, headers.current, active);
    yield* headers.update({ logGuid: NO_GUID, fileWriteGuid: randomGuid() });
    return 'replayed';
  }
  if (flags.check === true) return 'pending';
  throw new BlockError(
    'permission',
    'VHDX image file opened read-only, but contains a log that needs to be replayed. To replay the log, open the image for writing or run: qemu-img check -r all',
  );
}

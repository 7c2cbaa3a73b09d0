/**
 * `qcow2`: QEMU's native format, versions 2 and 3.
 *
 * Source: QEMU, docs/interop/qcow2.rst; option names from BlockdevOptionsQcow2 and qemu-img.
 */
import { settle, type Co } from '../../co.ts';
import type { FormatDriver, FormatImage, OpenContext } from '../../driver.ts';
import { amendOptions } from './amend-options.ts';
import { Qcow2Bitmaps } from './bitmaps.ts';
import { repairDirty } from './check.ts';
import { create } from './create.ts';
import { createOptions } from './create-options.ts';
import { openDataFile } from './data-file.ts';
import { openEncryption } from './encryption.ts';
import { findExtension } from './extensions.ts';
import { checkFeatures, checkSnapshotCount, openObstacle, writeObstacle } from './features.ts';
import { compressionMethodOf, encodeFields, hasDataFile, readHeader, type Qcow2Header } from './header.ts';
import { Qcow2Image } from './image.ts';
import { AUTOCLEAR_BITMAPS, AUTOCLEAR_RAW_DATA_FILE, EXTENSION, FIELD, INCOMPATIBLE_DIRTY, MAGIC } from './layout.ts';
import { measure } from './measure.ts';
import { Metadata } from './metadata.ts';
import {
  cacheSizes,
  keepDiscarded,
  lazyRefcounts,
  openOptions,
  overlapChecks,
  type OpenOptions,
} from './open-options.ts';
import { layoutSequential, SEQUENTIAL_CLUSTER_SIZE } from './sequential.ts';
import { readWholeTables } from './whole-tables.ts';

export const qcow2: FormatDriver<typeof openOptions, typeof createOptions> = {
  kind: 'format',
  name: 'qcow2',
  capabilities: {
    write: true,
    create: true,
    backing: true,
    snapshots: true,
    bitmaps: true,
    check: true,
    repair: true,
    resize: true,
    compress: true,
  },
  openOptions,
  createOptions,
  amendOptions,

  /** The magic number and a version of 2 or more, which tells it from `qcow`. */
  probe({ head }) {
    if (head.length < FIELD.version + 4) return 0;
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    return view.getUint32(FIELD.magic) === MAGIC && view.getUint32(FIELD.version) >= 2 ? 100 : 0;
  },

  open: (context) => openImage(context),
  create,
  sequential: { unit: SEQUENTIAL_CLUSTER_SIZE, storesZeroes: false, layout: layoutSequential },
  measure,
};

function* openImage(context: OpenContext<OpenOptions>): Co<FormatImage> {
  const { file, options, flags, compression } = context;
  let header = yield* readHeader(file);
  checkFeatures(header);
  // A wrong passphrase changes nothing.
  const encryption = yield* openEncryption(context, header);
  if (flags.check !== true) checkSnapshotCount(header);
  const { readOnly } = flags;
  // Who comes to repair may open what nobody may write to.
  if (!readOnly && flags.check !== true) header = yield* prepareForWriting(file, header);
  const keptUp = (flags.check === true ? 0n : AUTOCLEAR_BITMAPS) | rawDataFeature(header);
  const dataFile = yield* openDataFile(context, header, options['data-file'] !== undefined);
  const settings = {
    file,
    dataFile,
    readOnly,
    ...cacheSizes(options, header),
    lazyRefcounts: lazyRefcounts(options, header),
    overlapChecks: overlapChecks(options),
    passDiscardRequest: options['pass-discard-request'],
    passDiscardOther: options['pass-discard-other'],
    keepDiscarded: keepDiscarded(options, header),
    compression,
    compressor: yield* settle(compression.load(compressionMethodOf(header))),
    obstacle: writeObstacle(header, keptUp),
    keptUp,
    encryption,
  };
  const tables = yield* readWholeTables(file, header, { readOnly, forCheck: flags.check === true });
  const metadata = new Metadata(settings, header, tables);
  return new Qcow2Image(metadata, yield* Qcow2Bitmaps.open(metadata, flags.check === true));
}

/** Repairs what was not closed, and says that features which this implementation does not keep up are out of date. */
function* prepareForWriting(file: OpenContext['file'], header: Qcow2Header): Co<Qcow2Header> {
  const obstacle = openObstacle(header);
  if (obstacle !== undefined) throw obstacle;
  let prepared = header;
  if ((prepared.incompatibleFeatures & INCOMPATIBLE_DIRTY) !== 0n) prepared = yield* repairDirty(file, prepared);
  const autoclearFeatures = prepared.autoclearFeatures & trueFeatures(prepared);
  if (prepared.autoclearFeatures === autoclearFeatures) return prepared;
  prepared = { ...prepared, autoclearFeatures };
  const field = encodeFields(prepared).subarray(FIELD.autoclearFeatures, FIELD.autoclearFeatures + 8);
  yield* settle(file.write(FIELD.autoclearFeatures, field));
  yield* settle(file.flush());
  return prepared;
}

/** The autoclear features that are true of an image, and stay so while it is written. */
function trueFeatures(header: Qcow2Header): bigint {
  const bitmaps = findExtension(header.extensions, EXTENSION.bitmaps) === undefined ? 0n : AUTOCLEAR_BITMAPS;
  return bitmaps | rawDataFeature(header);
}

function rawDataFeature(header: Qcow2Header): bigint {
  return hasDataFile(header) ? AUTOCLEAR_RAW_DATA_FILE : 0n;
}

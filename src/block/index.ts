/** The core without a worker: for use inside one's own worker, or in Node. */
export { startAsync, type Co, type MaybePromise } from './co.ts';
export type * from './driver.ts';
export { BlockError, BLOCK_ERROR_KINDS, type BlockErrorContext, type BlockErrorKind } from './error.ts';
export type { BlockStatus, Extent } from './extent.ts';
export { BLOCK_EVENTS, type BlockEvent } from './events.ts';
export { filterDrivers, ThrottleGroup, type ThrottleClock } from './filter/index.ts';
export { formatDrivers } from './format/index.ts';
export { BlockBackend } from './graph/backend.ts';
export {
  allowNames,
  denyReferences,
  type ReferenceAnswer,
  type ReferencePolicy,
  type ReferenceRequest,
} from './graph/gate.ts';
export { fileOf } from './graph/identity.ts';
export { BlockGraph } from './graph/graph.ts';
export type { BlockNode } from './graph/node.ts';
export type { OpenPolicy } from './graph/opener.ts';
export type { NodeStatisticsSnapshot } from './graph/statistics.ts';
export type { BitmapSet } from './bitmap/bitmap-set.ts';
export type { DirtyArea, DirtyBitmap } from './bitmap/dirty-bitmap.ts';
export {
  addBitmap,
  changeBitmap,
  checkBitmapsToCopy,
  copyBitmaps,
  listBitmaps,
  mergeBitmap,
  removeBitmap,
  type BitmapAction,
  type BitmapInfo,
  type CopyBitmapsSettings,
  type NewBitmap,
} from './image/bitmap.ts';
export { amendImage, type AmendSettings } from './image/amend.ts';
export { checkImage } from './image/check.ts';
export { benchImage, type BenchSettings } from './image/bench.ts';
export { canBeEmptied, commitImage, type CommitSettings } from './image/commit.ts';
export { compareImages, type CompareResult, type CompareSettings } from './image/compare.ts';
export { convertImage, copyDisk, type ConvertSettings, type CopyDiskSettings } from './image/convert.ts';
export {
  createImage,
  makeImage,
  type CreatedFile,
  type CreateImageOptions,
  type CreateImageSettings,
} from './image/create.ts';
export { ImageExport, openExport } from './image/export.ts';
export { imageInfo, type ImageInfo, type SnapshotFacts } from './image/info.ts';
export { debugPoints, topLayerHolds } from './image/debug.ts';
export { imageMap } from './image/map.ts';
export { measureImage, type ImageMeasure } from './image/measure.ts';
export { copyForRebase, setBackingFile } from './image/rebase.ts';
export { probeImage, type ImageProbe } from './image/probe.ts';
export {
  applySnapshot,
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
  loadSnapshot,
  readVmState,
  type SnapshotSelector,
  writeVmState,
} from './image/snapshot.ts';
export { probeArchive, unpackImage, type Archive, type ArchiveKind, type UnpackSettings } from './image/unpack.ts';
export { useEqualBytes } from './io/buffers.ts';
export { copyRange, type CopySettings } from './io/copy.ts';
export { parseSize, type OptionSchema, type OptionSpec } from './options.ts';
export { nestOptions, parseFilename, type DriverSet } from './registry.ts';

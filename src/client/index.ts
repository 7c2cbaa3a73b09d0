/** What a page imports: `connect`, and the types of what it gives. */
export { BLOCK_ERROR_KINDS, BlockError, type BlockErrorContext, type BlockErrorKind } from '../block/error.ts';
export type {
  Archive,
  BitmapInfo,
  BlockdevOptions,
  BlockStatus,
  CheckFinding,
  CheckResult,
  CreateOptions,
  DroppedFile,
  FileAnswer,
  FileRequest,
  FormatOptions,
  GenericNodeOptions,
  ImageInfo,
  ImageProbe,
  NodeStatistics,
  NodeStatisticsSnapshot,
  ProbedOptions,
  ProbeScore,
  ProtocolOptions,
  SnapshotInfo,
  StoredFile,
} from '../worker/api.ts';
export type { DiskBitmaps, NewBitmapOptions } from './bitmaps.ts';
export type { CallOptions } from './call.ts';
export { connect, type ConnectOptions } from './connect.ts';
export type {
  CheckOptions,
  Disk,
  ExportOptions,
  MapOptions,
  ReadOptions,
  ResizeOptions,
  WriteOptions,
} from './disk.ts';
export type { BrowserFiles } from './files.ts';
export type { AppliedState, ApplyOptions, DiskSnapshots, SnapshotOptions } from './snapshots.ts';
export type { CreateSettings, OpenOptions, Spindle, UnpackOptions } from './spindle.ts';

/**
 * What the page and the worker say to each other, as types: the calls that comlink carries, and what they answer with. In a file
 * of its own so that a page's program takes in no code of the worker.
 */
import type { CheckFix, CheckResult, SnapshotInfo } from '../block/driver.ts';
import type { BlockStatus } from '../block/extent.ts';
import type { ReferenceRequest } from '../block/graph/gate.ts';
import type { NodeStatisticsSnapshot } from '../block/graph/statistics.ts';
import type { BitmapInfo } from '../block/image/bitmap.ts';
import type { ImageInfo } from '../block/image/info.ts';
import type { ImageProbe } from '../block/image/probe.ts';
import type { Archive } from '../block/image/unpack.ts';
import type { StoredFile } from '../block/protocol/opfs/folder.ts';
import type { BlockdevOptions, CreateOptions, ProtocolOptions } from './blockdev.ts';

export type {
  Archive,
  BitmapInfo,
  BlockStatus,
  CheckFix,
  CheckResult,
  ImageInfo,
  ImageProbe,
  NodeStatisticsSnapshot,
  SnapshotInfo,
  StoredFile,
};
export type { CheckFinding } from '../block/driver.ts';
export type { ProbeScore } from '../block/probe.ts';
export type * from './blockdev.ts';

/** What an image asks for that names a file. */
export interface FileRequest extends Omit<ReferenceRequest, 'options'> {
  /** What the name means seen from the image: what is opened when the answer is `true`. */
  readonly options: BlockdevOptions;
}

/** `true`: open it; options: open these in its place; `false`: refuse. */
export type FileAnswer = boolean | BlockdevOptions;

/** Counters of a node and of the nodes below it, with QEMU's names (`query-blockstats`). */
export interface NodeStatistics {
  readonly 'node-name': string;
  readonly driver: string;
  readonly stats: NodeStatisticsSnapshot;
  /** By the name of the child: `file`, `backing` … */
  readonly children: Readonly<Record<string, NodeStatistics>>;
}

/** How a disk is opened, beside its options. */
export interface OpenSettings {
  /** Names that images may open, as they stand in their headers. */
  readonly allow: readonly string[];
  readonly maxChainDepth?: number;
  /** Opened to be checked or repaired: what a check can mend is no reason to refuse. */
  readonly check: boolean;
  /** Opened to be looked at: nothing that the image names is opened, and no guest data can be read. */
  readonly inspect: boolean;
  /** Id or name of the snapshot that is shown instead of the disk: read-only opens only. */
  readonly snapshot: string | undefined;
}

/** How an archive is unpacked. */
export interface UnpackRequest {
  /** Bytes that the image may become. */
  readonly limit: number;
  /** Of a zip file: which file; undefined: the largest. */
  readonly entry: string | undefined;
  readonly overwrite: boolean;
}

/** Asks the page whether an image may open a file. A comlink proxy. */
export type FileQuestion = (request: FileRequest) => FileAnswer | Promise<FileAnswer>;

/** Worker's answer to `open`. */
export interface OpenedDisk {
  /** What the worker knows the disk by. */
  readonly id: number;
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  readonly nodeName: string;
  /** Driver of the top node. */
  readonly format: string;
  /** Reads and writes go here: `wire.ts`. */
  readonly data: MessagePort;
}

/** Worker's answer to `export`: a port that gives a piece for each message it gets, until the end. See `wire.ts`. */
export interface OpenedExport {
  readonly totalBytes: number;
  readonly pieces: MessagePort;
}

/** What is done to a dirty bitmap. QEMU: `qemu-img bitmap`. */
export type BitmapChange =
  | {
      readonly action: 'add';
      readonly granularity?: number | undefined;
      readonly enabled?: boolean | undefined;
      readonly persistent?: boolean | undefined;
    }
  | { readonly action: 'remove' | 'clear' | 'enable' | 'disable' }
  | { readonly action: 'merge'; readonly source: string; readonly disk: number };

/** Worker's answer to `applySnapshot`. */
export interface AppliedSnapshot {
  readonly snapshot: SnapshotInfo;
  /** Bytes: the size that the disk has now. */
  readonly size: number;
  /** The machine state that was kept with it, if it was asked for and there is one. */
  readonly state: ArrayBuffer | undefined;
}

/**
 * The calls. `call` is a port over which a long call reports progress and hears that the page has given up; `wire.ts` has its
 * messages. Everything rejects with a BlockError.
 */
export interface WorkerApi {
  /** Gives the graph a passphrase; `undefined` forgets it. */
  setSecret(id: string, data: Uint8Array | undefined): Promise<void>;
  create(options: CreateOptions, overwrite: boolean, call: MessagePort | undefined): Promise<void>;
  open(
    options: BlockdevOptions | string,
    settings: OpenSettings,
    question: FileQuestion | undefined,
    call: MessagePort | undefined,
  ): Promise<OpenedDisk>;
  probe(file: ProtocolOptions | string, call: MessagePort | undefined): Promise<ImageProbe>;
  delete(file: ProtocolOptions | string): Promise<void>;
  probeArchive(file: ProtocolOptions | string, call: MessagePort | undefined): Promise<Archive | undefined>;
  /** @returns bytes of the image */
  unpack(
    file: ProtocolOptions | string,
    target: ProtocolOptions,
    settings: UnpackRequest,
    call: MessagePort | undefined,
  ): Promise<number>;

  info(disk: number): Promise<ImageInfo>;
  map(disk: number, offset: number, length: number, call: MessagePort | undefined): Promise<BlockStatus[]>;
  check(disk: number, fix: CheckFix, call: MessagePort | undefined): Promise<CheckResult>;
  /** @returns the size that it has now, in bytes */
  resize(disk: number, size: number, shrink: boolean): Promise<number>;
  listBitmaps(disk: number): Promise<BitmapInfo[]>;
  changeBitmap(disk: number, name: string, change: BitmapChange): Promise<void>;
  /** @returns the size that the disk has now, in bytes */
  amend(disk: number, options: Readonly<Record<string, unknown>>, call: MessagePort | undefined): Promise<number>;
  listSnapshots(disk: number): Promise<SnapshotInfo[]>;
  /** @param state of a machine, kept with the disk */
  createSnapshot(disk: number, name: string, state: ArrayBuffer | undefined): Promise<SnapshotInfo>;
  applySnapshot(disk: number, idOrName: string, withState: boolean): Promise<AppliedSnapshot>;
  deleteSnapshot(disk: number, idOrName: string): Promise<void>;
  stats(disk: number): Promise<NodeStatistics>;
  export(disk: number, format: string, call: MessagePort | undefined): Promise<OpenedExport>;
  close(disk: number): Promise<void>;

  listFiles(folder: string): Promise<StoredFile[]>;
  renameFile(from: string, to: string): Promise<void>;
  readFile(path: string): Promise<File>;

  /** Closes every disk. The worker takes no calls of this page afterwards. */
  end(): Promise<void>;
}

/** What is known of an image: the facts that `qemu-img info` prints, under the names it prints them by. */
import { settle, type Co } from '../co.ts';
import { fileOf } from '../graph/identity.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';
import { listSnapshots } from './snapshot.ts';

/** QEMU: ImageInfo. Sizes in bytes. */
export interface ImageInfo {
  readonly filename: string;
  readonly format: string;
  readonly 'node-name': string;
  readonly 'virtual-size': number;
  /** What it takes on its medium, where that can be told. */
  readonly 'actual-size'?: number;
  /** Length of its file. */
  readonly 'file-size'?: number;
  readonly 'cluster-size'?: number;
  readonly 'backing-filename'?: string;
  readonly 'backing-filename-format'?: string;
  readonly 'dirty-flag': boolean;
  readonly corrupt: boolean;
  readonly encrypted: boolean;
  readonly 'read-only': boolean;
  readonly 'format-specific'?: { readonly type: string; readonly data: Readonly<Record<string, unknown>> };
  /** QEMU: SnapshotInfo. Missing: the image has none. */
  readonly snapshots?: readonly SnapshotFacts[];
  /** The image below, where one is open. */
  readonly 'backing-image'?: ImageInfo;
}

/** QEMU: SnapshotInfo. */
export interface SnapshotFacts {
  readonly id: string;
  readonly name: string;
  /** Bytes. */
  readonly 'vm-state-size': number;
  readonly 'date-sec': number;
  readonly 'date-nsec': number;
  readonly 'vm-clock-sec': number;
  readonly 'vm-clock-nsec': number;
  /** Instructions that the guest had executed, where they were counted. */
  readonly icount?: number;
}

/** Describes a node and everything below it. Reads nothing but what the drivers have at hand. */
export function* imageInfo(node: BlockNode): Co<ImageInfo> {
  const file = fileOf(node);
  const actualSize = yield* settle(node.allocatedSize());
  const below = node.below === undefined ? undefined : yield* imageInfo(node.below);
  return {
    filename: file?.filename ?? '',
    'node-name': node.nodeName,
    'virtual-size': node.length,
    ...(actualSize === undefined ? {} : { 'actual-size': actualSize }),
    ...(file === undefined ? {} : { 'file-size': file.length }),
    'read-only': node.readOnly,
    ...formatFacts(node),
    ...snapshotFacts(node),
    ...(below === undefined ? {} : { 'backing-image': below }),
  };
}

type FormatFacts = Pick<
  ImageInfo,
  | 'format'
  | 'cluster-size'
  | 'backing-filename'
  | 'backing-filename-format'
  | 'dirty-flag'
  | 'corrupt'
  | 'encrypted'
  | 'format-specific'
>;

function formatFacts(node: BlockNode): FormatFacts {
  const plain = { format: node.driver.name, 'dirty-flag': false, corrupt: false, encrypted: false };
  if (!(node instanceof ImageNode)) return { ...plain, ...clusterFacts(node.below) };
  const info = node.image.info();
  return {
    ...plain,
    'dirty-flag': info.dirty === true,
    corrupt: info.corrupt === true,
    encrypted: info.encrypted === true,
    ...(info.clusterSize === undefined ? {} : { 'cluster-size': info.clusterSize }),
    ...(info.backingFilename === undefined ? {} : { 'backing-filename': info.backingFilename }),
    ...(info.backingFormat === undefined ? {} : { 'backing-filename-format': info.backingFormat }),
    ...(Object.keys(info.specific).length === 0
      ? {}
      : { 'format-specific': { type: info.format, data: info.specific } }),
  };
}

/** A filter has the clusters of what it stands on. */
function clusterFacts(below: BlockNode | undefined): Pick<ImageInfo, 'cluster-size'> {
  const size = below instanceof ImageNode ? below.image.info().clusterSize : undefined;
  return size === undefined ? {} : { 'cluster-size': size };
}

function snapshotFacts(node: BlockNode): Pick<ImageInfo, 'snapshots'> {
  const snapshots = listSnapshots(node).map((snapshot) => ({
    id: snapshot.id,
    name: snapshot.name,
    'vm-state-size': snapshot.vmStateSize,
    'date-sec': snapshot.dateSeconds,
    'date-nsec': snapshot.dateNanoseconds,
    'vm-clock-sec': Number(snapshot.vmClockNanoseconds / 1_000_000_000n),
    'vm-clock-nsec': Number(snapshot.vmClockNanoseconds % 1_000_000_000n),
    ...(snapshot.instructionCount === undefined ? {} : { icount: Number(snapshot.instructionCount) }),
  }));
  return snapshots.length === 0 ? {} : { snapshots };
}

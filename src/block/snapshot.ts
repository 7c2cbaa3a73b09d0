/** Snapshots inside an image. */
import type { MaybePromise } from './co.ts';

/** QEMU: QEMUSnapshotInfo. */
export interface SnapshotInfo {
  /** Unique in the image: decimal digits, as QEMU gives them out. */
  readonly id: string;
  readonly name: string;
  /** When it was made, in seconds since 1970, and the rest in nanoseconds. */
  readonly dateSeconds: number;
  readonly dateNanoseconds: number;
  /** How long the guest had run, in nanoseconds. */
  readonly vmClockNanoseconds: bigint;
  /** Instructions that the guest had executed, where they were counted. */
  readonly instructionCount?: bigint;
  /** Bytes of machine state that are kept with it; 0: the disk only. */
  readonly vmStateSize: number;
  /** Bytes: the disk's size at that time. */
  readonly diskSize: number;
}

export interface SnapshotRequest {
  readonly name: string;
  /** Default: now. */
  readonly dateSeconds?: number;
  readonly dateNanoseconds?: number;
  readonly vmClockNanoseconds?: bigint;
  /** Where instructions are counted. */
  readonly instructionCount?: bigint;
  /** Bytes of machine state that were written from `vmStateOffset` on; they move to the snapshot. Default: 0, the disk only. */
  readonly vmStateSize?: number;
}

/**
 * Snapshots inside an image. Ids and names are looked up as QEMU does: first as an id, then as a name. Who calls what changes
 * something has waited for all requests in flight, and lets no other begin meanwhile.
 */
export interface SnapshotTable {
  list(): readonly SnapshotInfo[];
  /** The disk as it is now. On stable storage when it returns. */
  create(request: SnapshotRequest): MaybePromise<SnapshotInfo>;
  /** Makes the disk what it was then; what was written since is lost. @throws BlockError `not-found` */
  apply(idOrName: string): MaybePromise<void>;
  /** @throws BlockError `not-found` */
  delete(idOrName: string): MaybePromise<void>;
  /** Makes an image that is open read-only show the snapshot from now on. QEMU: snapshot_load_tmp. @throws BlockError `not-found` */
  load(idOrName: string): MaybePromise<void>;
  /**
   * Where machine state lies: behind the disk's end, in the same mapping, read and written by the same loops. It belongs to the next
   * snapshot that is created with a `vmStateSize`, and is that of the snapshot that was applied or loaded last. Bytes.
   */
  readonly vmStateOffset?: number;
  /** Makes room in the image's tables for so many bytes from `vmStateOffset` on. */
  reserveVmState?(length: number): MaybePromise<void>;
}

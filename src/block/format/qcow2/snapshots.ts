/** The internal snapshots of an opened image, as the core sees them. */
import { chain, start, type MaybePromise } from '../../co.ts';
import type { SnapshotInfo, SnapshotRequest, SnapshotTable } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { Metadata } from './metadata.ts';
import {
  applySnapshot,
  createSnapshot,
  deleteSnapshot,
  loadSnapshot,
  reserveVmState,
  vmStateOffset,
} from './snapshot-changes.ts';

/** The size of the disk, which another snapshot may change. */
export interface DiskSize {
  /** Bytes. */
  get(): number;
  set(size: number): void;
}

export class Qcow2Snapshots implements SnapshotTable {
  readonly #metadata: Metadata;
  readonly #size: DiskSize;

  constructor(metadata: Metadata, size: DiskSize) {
    this.#metadata = metadata;
    this.#size = size;
  }

  list(): readonly SnapshotInfo[] {
    return this.#metadata.snapshots.map(({ info }) => info);
  }

  create(request: SnapshotRequest): MaybePromise<SnapshotInfo> {
    this.#refuseDataFile();
    return start(createSnapshot(this.#metadata, this.#size.get(), request));
  }

  apply(idOrName: string): MaybePromise<void> {
    this.#refuseDataFile();
    return start(applySnapshot(this.#metadata, idOrName, (size) => this.#size.set(size)));
  }

  delete(idOrName: string): MaybePromise<void> {
    this.#refuseDataFile();
    return start(deleteSnapshot(this.#metadata, idOrName));
  }

  load(idOrName: string): MaybePromise<void> {
    this.#refuseDataFile();
    return chain(start(loadSnapshot(this.#metadata, idOrName)), (size) => this.#size.set(size));
  }

  /** Guest clusters have one place each there: a snapshot's and the disk's would be the same. */
  #refuseDataFile(): void {
    if (!this.#metadata.geometry.externalData) return;
    throw new BlockError('unsupported', 'Internal snapshots are not supported in an image with an external data file');
  }

  get vmStateOffset(): number {
    return vmStateOffset(this.#metadata, this.#size.get());
  }

  reserveVmState(length: number): MaybePromise<void> {
    this.#refuseDataFile();
    return start(reserveVmState(this.#metadata, this.#size.get(), length));
  }
}

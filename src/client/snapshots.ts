/** The snapshots inside an open disk's image. */
import { transfer } from 'comlink';
import { BlockError } from '../block/error.ts';
import type { AppliedSnapshot, SnapshotInfo, WorkerApi } from '../worker/api.ts';

export interface SnapshotOptions {
  /** What people know it by; it need not be the only one of that name. */
  readonly name: string;
  /** State of the machine, kept with the disk. It is given away: the buffer is empty from then on. */
  readonly state?: ArrayBuffer | undefined;
}

export interface ApplyOptions {
  /** Also give the machine state that was kept with it. */
  readonly state?: boolean | undefined;
}

export interface AppliedState {
  readonly snapshot: SnapshotInfo;
  /** Undefined when it was not asked for, and for a snapshot of the disk only. */
  readonly state: ArrayBuffer | undefined;
}

/** A call for one disk. */
type Call = <T>(begin: (api: Pick<WorkerApi, SnapshotCall>, disk: number) => Promise<T>) => Promise<T>;
type SnapshotCall = 'listSnapshots' | 'createSnapshot' | 'applySnapshot' | 'deleteSnapshot';

/**
 * Snapshots of a disk, kept in its image (`qcow2`). Each of them waits for the requests that are in flight, and is on stable storage
 * when it resolves. A snapshot is named by its id or, if none has that id, by its name. Every method rejects with a BlockError:
 * `unsupported` where the format has no snapshots, `permission` for a disk that is read-only, `not-found`, `closed`, and what the
 * storage reports.
 */
export class DiskSnapshots {
  readonly #call: Call;
  readonly #onApplied: (applied: AppliedSnapshot) => void;

  /** Made by `Disk`. @param onApplied is told that the disk is another one now */
  constructor(call: Call, onApplied: (applied: AppliedSnapshot) => void) {
    this.#call = call;
    this.#onApplied = onApplied;
  }

  /** Oldest first; none where the format has none. */
  list(): Promise<SnapshotInfo[]> {
    return this.#call((api, disk) => api.listSnapshots(disk));
  }

  /** Keeps the disk as it is now, with the writes that had resolved. */
  async create({ name, state }: SnapshotOptions): Promise<SnapshotInfo> {
    if (state?.byteLength === 0) {
      throw new BlockError('invalid', 'The machine state is empty: was its buffer given away?', { op: 'snapshot' });
    }
    return this.#call((api, disk) =>
      api.createSnapshot(disk, name, state === undefined ? undefined : transfer(state, [state])),
    );
  }

  /** Makes the disk what it was, its size included; what was written since is lost. */
  async apply(idOrName: string, { state = false }: ApplyOptions = {}): Promise<AppliedState> {
    const applied = await this.#call((api, disk) => api.applySnapshot(disk, idOrName, state));
    this.#onApplied(applied);
    return { snapshot: applied.snapshot, state: applied.state };
  }

  delete(idOrName: string): Promise<void> {
    return this.#call((api, disk) => api.deleteSnapshot(disk, idOrName));
  }
}

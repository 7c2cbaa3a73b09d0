/** What a disk's snapshots may be: which of them are there, and what each of them holds. Names tell them apart. */
import { ModelMismatch } from './model-mismatch.ts';
import { describeSector, equalBytes, SECTOR_BYTES } from './random.ts';

interface Change {
  /** The place in the storage's log at which it began. */
  readonly began: number;
  /** Where it was answered; undefined: it has not been, or it failed, and may have happened or not. */
  answered: number | undefined;
}

interface SnapshotRecord {
  readonly name: string;
  readonly content: Uint8Array;
  readonly created: Change;
  deleted: Change | undefined;
}

/** The snapshots of a disk, as a test looks at them. */
export interface SnapshotReader {
  names(): readonly string[];
  /** The disk as it was. @param limit bytes from its start; without it, all of them */
  read(name: string, limit?: number): Promise<Uint8Array>;
}

export class SnapshotModel {
  readonly #records = new Map<string, SnapshotRecord>();
  readonly #position: () => number;

  constructor(position: () => number) {
    this.#position = position;
  }

  /** @param content of the disk now @returns what is to be called when the snapshot is there */
  create(name: string, content: Uint8Array): () => void {
    const created: Change = { began: this.#position(), answered: undefined };
    this.#records.set(name, { name, content, created, deleted: undefined });
    return () => {
      created.answered = this.#position();
    };
  }

  /** The snapshot was refused, and must not be there. */
  refused(name: string): void {
    this.#records.delete(name);
  }

  /** @returns what is to be called when it is gone */
  delete(name: string): () => void {
    const deleted: Change = { began: this.#position(), answered: undefined };
    this.#find(name).deleted = deleted;
    return () => {
      deleted.answered = this.#position();
    };
  }

  content(name: string): Uint8Array {
    return this.#find(name).content;
  }

  #find(name: string): SnapshotRecord {
    const record = this.#records.get(name);
    if (record === undefined) throw new ModelMismatch(`there is a snapshot '${name}' that nobody made`);
    return record;
  }

  /**
   * Checks which snapshots there are, and what each of them holds.
   *
   * @param position how much of the storage's log had happened
   * @throws ModelMismatch
   */
  async verify(snapshots: SnapshotReader, position: number = Number.POSITIVE_INFINITY): Promise<void> {
    const names = snapshots.names();
    const happened = (change: Change | undefined): boolean =>
      change?.answered !== undefined && change.answered <= position;
    for (const { name, created, deleted } of this.#records.values()) {
      const began = deleted !== undefined && deleted.began <= position;
      if (happened(created) && !began && !names.includes(name)) throw new ModelMismatch(`snapshot '${name}' is gone`);
      if (happened(deleted) && names.includes(name)) throw new ModelMismatch(`snapshot '${name}' is there again`);
    }
    for (const name of names) compare(name, await snapshots.read(name), this.content(name));
  }
}

function compare(name: string, found: Uint8Array, expected: Uint8Array): void {
  if (found.length !== expected.length) {
    throw new ModelMismatch(
      `snapshot '${name}' is of a disk of ${found.length} bytes; it was made of ${expected.length}`,
    );
  }
  if (equalBytes(found, expected)) return;
  const at = found.findIndex((byte, index) => byte !== expected[index]);
  const start = at - (at % SECTOR_BYTES);
  const sector = (bytes: Uint8Array): string => describeSector(bytes.subarray(start, start + SECTOR_BYTES));
  throw new ModelMismatch(
    `sector ${start / SECTOR_BYTES} of snapshot '${name}' holds ${sector(found)}; it was made with ${sector(expected)}`,
  );
}

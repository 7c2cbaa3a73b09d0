/** A storage that counts what is asked of the one below it, so that a test can say what an operation may cost. */
import type { MaybePromise } from '../../src/block/co.ts';
import type { BlockLimits, Storage } from '../../src/block/driver.ts';

export interface StorageCounts {
  reads: number;
  readBytes: number;
  writes: number;
  writtenBytes: number;
  zeroes: number;
  discards: number;
  truncates: number;
  flushes: number;
}

export class CountingStorage implements Storage {
  readonly synchronous: boolean;
  readonly readOnly: boolean;
  readonly limits: BlockLimits;
  counts: StorageCounts = noCounts();
  writeZeroes?: (offset: number, length: number, mayUnmap: boolean) => MaybePromise<void>;
  discard?: (offset: number, length: number) => MaybePromise<void>;
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.synchronous = storage.synchronous;
    this.readOnly = storage.readOnly;
    this.limits = storage.limits;
    const { writeZeroes, discard } = storage;
    if (writeZeroes !== undefined) {
      this.writeZeroes = (offset, length, mayUnmap) => {
        this.counts.zeroes++;
        return writeZeroes.call(storage, offset, length, mayUnmap);
      };
    }
    if (discard !== undefined) {
      this.discard = (offset, length) => {
        this.counts.discards++;
        return discard.call(storage, offset, length);
      };
    }
  }

  /** What was counted since the last call. */
  take(): StorageCounts {
    const { counts } = this;
    this.counts = noCounts();
    return counts;
  }

  getLength(): MaybePromise<number> {
    return this.#storage.getLength();
  }

  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    this.counts.reads++;
    this.counts.readBytes += buffer.length;
    return this.#storage.read(offset, buffer);
  }

  write(offset: number, data: Uint8Array): MaybePromise<void> {
    this.counts.writes++;
    this.counts.writtenBytes += data.length;
    return this.#storage.write(offset, data);
  }

  truncate(length: number): MaybePromise<void> {
    this.counts.truncates++;
    return this.#storage.truncate(length);
  }

  flush(): MaybePromise<void> {
    this.counts.flushes++;
    return this.#storage.flush();
  }

  close(): MaybePromise<void> {
    return this.#storage.close();
  }
}

function noCounts(): StorageCounts {
  return { reads: 0, readBytes: 0, writes: 0, writtenBytes: 0, zeroes: 0, discards: 0, truncates: 0, flushes: 0 };
}

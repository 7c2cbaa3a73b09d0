/**
 * How a disk lies in an IndexedDB database: one record that describes it and one for each chunk that is not all zeroes. Every
 * change is one transaction, so that it is there whole or not at all.
 */
import { createStore, getMany, promisifyRequest, type UseStore } from 'idb-keyval';
import { BlockError } from '../../error.ts';
import { exceptionName, messageOf } from '../shared/errors.ts';
import { fromException } from '../shared/exceptions.ts';
import { STORE_NAME } from './layout.ts';
import { joinDatabase } from './session.ts';
import { strictTransaction } from './transaction.ts';

const FORMAT_VERSION = 1;
export const MIN_CHUNK_BYTES = 4096;
export const MAX_CHUNK_BYTES = 4 * 1024 * 1024;

/** What is known of a disk beside its bytes. */
export interface DiskRecord {
  /** Bytes. */
  readonly length: number;
  readonly chunkBytes: number;
  /** When it was last changed, in milliseconds since 1970. */
  readonly modifiedMs: number;
}

/** A chunk's new bytes, or that it is zeroes now and takes no room. */
export type ChunkChange = Uint8Array | 'zeroes';

/** @returns whether a disk may have chunks of this size */
export function isChunkSize(size: unknown): size is number {
  return (
    typeof size === 'number' && size >= MIN_CHUNK_BYTES && size <= MAX_CHUNK_BYTES && Number.isInteger(Math.log2(size))
  );
}

export class DiskStore {
  readonly name: string;
  /** The disk's name with that of its database, for locks and messages. */
  readonly filename: string;
  readonly #database: string;
  readonly #store: UseStore;
  #leave: (() => Promise<void>) | undefined;

  constructor(database: string, name: string) {
    this.#database = database;
    this.name = name;
    this.filename = `${database}/${name}`;
    this.#store = createStore(database, STORE_NAME);
  }

  /** Begins to use the database. To be called before anything else, and followed by `close`. */
  async open(): Promise<void> {
    this.#leave = await this.#reading(() => joinDatabase(this.#database));
  }

  /** @throws BlockError `not-found`, `corrupt` when the record is not one of ours */
  async readRecord(): Promise<DiskRecord> {
    const [record] = await this.#reading(() => getMany<unknown>([this.#recordKey()], this.#store));
    if (record === undefined) {
      throw new BlockError('not-found', 'There is no such disk: check the name, or create it first', this.#place());
    }
    return this.#checkedRecord(record);
  }

  /** The numbers of all chunks that are stored. @throws BlockError `corrupt` */
  async readChunkNumbers(record: DiskRecord): Promise<Set<number>> {
    const keys = await this.#reading(() =>
      this.#store('readonly', (store) => promisifyRequest(store.getAllKeys(this.#chunkRange()))),
    );
    const numbers = new Set<number>();
    for (const key of keys) {
      const index: unknown = Array.isArray(key) ? key[2] : undefined;
      const valid = typeof index === 'number' && Number.isInteger(index) && index >= 0;
      if (!valid || index * record.chunkBytes >= record.length) {
        throw this.#corrupt(`it has a chunk number ${String(index)}, and ends at byte ${record.length}`);
      }
      numbers.add(index);
    }
    return numbers;
  }

  /** Chunks by number, read in one transaction. @throws BlockError `corrupt` when one is gone or has not the size of a chunk */
  async readChunks(indexes: readonly number[], chunkBytes: number): Promise<readonly Uint8Array[]> {
    const keys = indexes.map((index) => this.#chunkKey(index));
    const values = await this.#reading(() => getMany<unknown>(keys, this.#store));
    return values.map((value, place) => {
      if (value instanceof Uint8Array && value.length === chunkBytes) return value;
      throw this.#corrupt(`its chunk ${indexes[place]} is ${value === undefined ? 'gone' : `not ${chunkBytes} bytes`}`);
    });
  }

  /**
   * Stores changes of chunks and the record, all of it or nothing, on stable storage when it returns.
   *
   * @throws BlockError `no-space`, `io`; nothing was changed then
   */
  async commit(record: DiskRecord, changes: ReadonlyMap<number, ChunkChange>): Promise<void> {
    await this.#change((store) => {
      for (const [index, change] of changes) {
        if (change === 'zeroes') store.delete(this.#chunkKey(index));
        else store.put(change, this.#chunkKey(index));
      }
      store.put({ version: FORMAT_VERSION, ...record }, this.#recordKey());
    });
  }

  /** Makes an empty disk in place of whatever has the name. @throws BlockError `no-space`, `io` */
  async create(record: DiskRecord): Promise<void> {
    await this.#change((store) => {
      store.delete(this.#chunkRange());
      store.put({ version: FORMAT_VERSION, ...record }, this.#recordKey());
    });
  }

  async delete(): Promise<void> {
    await this.#change((store) => {
      store.delete(this.#chunkRange());
      store.delete(this.#recordKey());
    });
  }

  /** Closes the connection to the database. */
  async close(): Promise<void> {
    try {
      await this.#store('readonly', (store) => store.transaction.db.close());
    } catch {
      // A connection that cannot be had needs no closing, and who opened has heard why.
    }
    const leave = this.#leave;
    this.#leave = undefined;
    await leave?.();
  }

  #recordKey(): IDBValidKey {
    return ['disk', this.name];
  }

  #chunkKey(index: number): IDBValidKey {
    return ['chunk', this.name, index];
  }

  #chunkRange(): IDBKeyRange {
    return IDBKeyRange.bound(['chunk', this.name], ['chunk', this.name, []]);
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      throw this.#failed(error, 'read');
    }
  }

  async #change(requests: (store: IDBObjectStore) => void): Promise<void> {
    try {
      await this.#store('readonly', (store) => strictTransaction(store.transaction.db, requests));
    } catch (error) {
      throw this.#failed(error, 'write');
    }
  }

  #checkedRecord(value: unknown): DiskRecord {
    const { version, length, chunkBytes, modifiedMs } = Object(value) as Partial<Record<string, unknown>>;
    if (version !== FORMAT_VERSION)
      throw this.#corrupt(`its version is ${String(version)}, and ${FORMAT_VERSION} is known`);
    if (!Number.isSafeInteger(length) || (length as number) < 0) throw this.#corrupt(`its length is ${String(length)}`);
    if (!isChunkSize(chunkBytes)) throw this.#corrupt(`its chunk size is ${String(chunkBytes)}`);
    if (!Number.isSafeInteger(modifiedMs)) throw this.#corrupt(`its time of change is ${String(modifiedMs)}`);
    return { length: length as number, chunkBytes, modifiedMs: modifiedMs as number };
  }

  #corrupt(what: string): BlockError {
    return new BlockError('corrupt', `What IndexedDB holds of the disk is damaged: ${what}`, this.#place());
  }

  #failed(error: unknown, op: string): BlockError {
    if (exceptionName(error) === 'NotFoundError') {
      const message = `The IndexedDB database '${this.#database}' belongs to something else: choose another 'database'`;
      return new BlockError('invalid', message, this.#place(), { cause: error });
    }
    if (exceptionName(error) === 'UnknownError') {
      const message = `IndexedDB failed (${messageOf(error)}): the browser may be out of disk space, or its profile damaged`;
      return new BlockError('io', message, this.#place(), { cause: error });
    }
    return fromException(error, { ...this.#place(), op });
  }

  #place() {
    return { driver: 'indexeddb', filename: this.filename };
  }
}

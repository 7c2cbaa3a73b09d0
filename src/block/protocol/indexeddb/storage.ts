import { CoMutex, settle, start, type Co, type MaybePromise } from '../../co.ts';
import { type BlockLimits, BYTE_LIMITS, type Storage, type StorageIdentity } from '../../driver.ts';
import type { BlockError } from '../../error.ts';
import { ChunkReader } from '../shared/chunk-reader.ts';
import { closedError, readOnlyError } from '../shared/errors.ts';
import type { HeldLock } from '../shared/web-lock.ts';
import type { ChunkChange, DiskRecord, DiskStore } from './disk-store.ts';
import { PendingChanges } from './pending-changes.ts';

/** Chunks that one transaction reads. */
const BATCH_CHUNKS = 16;
const PARALLEL_BATCHES = 4;
/** `blockStatus` looks at no more chunks than this in one call. */
const MAX_CHUNKS_LOOKED_AT = 16384;

export interface OpenedDisk {
  readonly store: DiskStore;
  readonly record: DiskRecord;
  readonly chunkNumbers: Set<number>;
  readonly lock: HeldLock;
  readonly readOnly: boolean;
  readonly cacheBytes: number;
  /** Bytes of changes that may gather in memory. */
  readonly dirtyBytes: number;
}

interface Span {
  readonly index: number;
  /** In the chunk. */
  readonly start: number;
  readonly length: number;
  /** From the start of the request. */
  readonly done: number;
}

/**
 * A disk in IndexedDB. Writes gather in memory until a flush commits all of them in one transaction. When more gathers than is
 * allowed, everything so far is committed early, in one transaction too: what the database holds is at any time the disk as it was
 * between two requests. Reads of what is in memory, and of holes, do not wait.
 */
export class IndexedDbStorage implements Storage {
  readonly synchronous = false;
  readonly readOnly: boolean;
  readonly limits: BlockLimits;
  readonly #disk: OpenedDisk;
  readonly #chunkBytes: number;
  /** Chunks that are not holes, stored or pending. */
  readonly #present: Set<number>;
  readonly #pending: PendingChanges;
  readonly #reader: ChunkReader;
  /** Changes happen one after the other; reads do not wait for it. */
  readonly #changing = new CoMutex();
  #committing: Promise<void> | undefined;
  #length: number;
  #modifiedMs: number;
  /** Something changed that no commit has taken up yet. */
  #dirty = false;
  #open = true;

  constructor(disk: OpenedDisk) {
    this.#disk = disk;
    this.readOnly = disk.readOnly;
    this.#chunkBytes = disk.record.chunkBytes;
    this.#length = disk.record.length;
    this.#modifiedMs = disk.record.modifiedMs;
    this.#present = disk.chunkNumbers;
    this.#pending = new PendingChanges(this.#chunkBytes);
    this.limits = { ...BYTE_LIMITS, transferOptimal: BATCH_CHUNKS * this.#chunkBytes };
    this.#reader = this.#newReader();
  }

  getLength(): number {
    this.#refuseClosed();
    return this.#length;
  }

  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    this.#refuseClosed();
    const inside = Math.max(0, Math.min(buffer.length, this.#length - offset));
    buffer.fill(0, inside);
    let waiting: Promise<void>[] | undefined;
    for (const span of this.#spans(offset, inside)) {
      const chunk = this.#chunk(span.index);
      if (chunk instanceof Promise) (waiting ??= []).push(chunk.then((loaded) => copySpan(loaded, span, buffer)));
      else copySpan(chunk, span, buffer);
    }
    this.#reader.noteRead(offset, offset + inside);
    return waiting === undefined ? undefined : allSettled(waiting);
  }

  write(offset: number, data: Uint8Array): MaybePromise<void> {
    this.#refuseReadOnly('write');
    return start(this.#changing.run(() => this.#write(offset, data)));
  }

  writeZeroes(offset: number, length: number, _mayUnmap: boolean): MaybePromise<void> {
    this.#refuseReadOnly('write zeroes');
    return start(this.#changing.run(() => this.#zero(offset, length, true)));
  }

  discard(offset: number, length: number): MaybePromise<void> {
    this.#refuseReadOnly('discard');
    return start(this.#changing.run(() => this.#zero(offset, length, false)));
  }

  blockStatus(offset: number, length: number): { readonly length: number; readonly zero: boolean } {
    this.#refuseClosed();
    if (offset >= this.#length || this.#present.size === 0) return { length, zero: true };
    const first = Math.floor(offset / this.#chunkBytes);
    const data = this.#present.has(first);
    let next = first + 1;
    while (next * this.#chunkBytes < offset + length && next - first < MAX_CHUNKS_LOOKED_AT) {
      if (this.#present.has(next) !== data) break;
      next++;
    }
    return { length: Math.min(next * this.#chunkBytes - offset, length), zero: !data };
  }

  truncate(length: number): MaybePromise<void> {
    this.#refuseReadOnly('truncate');
    return start(this.#changing.run(() => this.#truncate(length)));
  }

  flush(): MaybePromise<void> {
    this.#refuseClosed();
    return start(this.#flush());
  }

  allocatedSize(): number {
    return this.#present.size * this.#chunkBytes;
  }

  identity(): StorageIdentity {
    const changed = this.#dirty || this.#committing !== undefined;
    return changed ? { size: this.#length } : { size: this.#length, lastModifiedMs: this.#modifiedMs };
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#reader.close(this.#closed());
    try {
      // A commit that has begun may still succeed: nobody else may have the disk before it has ended.
      await this.#committing?.catch(() => undefined);
      await this.#disk.store.close();
    } finally {
      await this.#disk.lock.release();
    }
  }

  #newReader(): ChunkReader {
    const batch = BATCH_CHUNKS * this.#chunkBytes;
    const readAhead = Math.min(batch, Math.floor(this.#disk.cacheBytes / 4));
    const length = () => this.#length;
    return new ChunkReader(
      {
        get length() {
          return length();
        },
        chunkBytes: this.#chunkBytes,
        load: (first, count) => this.#load(first, count),
        skipAhead: (index) => this.#pending.get(index) !== undefined || !this.#present.has(index),
      },
      {
        cacheBytes: this.#disk.cacheBytes,
        parallel: PARALLEL_BATCHES,
        requestBytes: batch,
        readAhead: { min: readAhead, max: readAhead, gap: this.#chunkBytes },
      },
    );
  }

  #load(first: number, count: number): Promise<readonly Uint8Array[]> {
    const indexes = Array.from({ length: count }, (_, place) => first + place);
    return this.#disk.store.readChunks(indexes, this.#chunkBytes);
  }

  /** A chunk's bytes, not to be written into; 'zeroes' for a hole. */
  #chunk(index: number): MaybePromise<ChunkChange> {
    const pending = this.#pending.get(index);
    if (pending !== undefined) return pending;
    return this.#present.has(index) ? this.#reader.fetch(index) : 'zeroes';
  }

  *#write(offset: number, data: Uint8Array): Co<void> {
    if (data.length === 0) return;
    yield* this.#makeRoom();
    for (const span of this.#spans(offset, data.length)) {
      const part = data.subarray(span.done, span.done + span.length);
      if (span.length === this.#chunkBytes) this.#setChunk(span.index, part.slice());
      else (yield* this.#editable(span.index)).set(part, span.start);
    }
    this.#length = Math.max(this.#length, offset + data.length);
    this.#dirty = true;
  }

  *#zero(offset: number, length: number, grow: boolean): Co<void> {
    yield* this.#makeRoom();
    const end = Math.min(offset + length, this.#length);
    yield* this.#zeroInside(offset, end);
    if (grow && length > 0) this.#length = Math.max(this.#length, offset + length);
    this.#dirty = true;
  }

  *#truncate(length: number): Co<void> {
    yield* this.#makeRoom();
    if (length < this.#length) yield* this.#zeroInside(length, this.#length);
    this.#length = length;
    this.#dirty = true;
  }

  /** Makes a range that does not reach past the end zero. Chunks that become all zero become holes. */
  *#zeroInside(offset: number, end: number): Co<void> {
    if (end <= offset) return;
    const lastIndex = Math.floor((end - 1) / this.#chunkBytes);
    const toEnd = end === this.#length;
    const isWhole = (index: number) =>
      offset <= index * this.#chunkBytes && ((toEnd && index === lastIndex) || end >= (index + 1) * this.#chunkBytes);
    for (const index of this.#presentBetween(Math.floor(offset / this.#chunkBytes), lastIndex)) {
      if (isWhole(index)) {
        this.#dropChunk(index);
      } else {
        const chunkStart = index * this.#chunkBytes;
        const chunk = yield* this.#editable(index);
        chunk.fill(0, Math.max(0, offset - chunkStart), Math.min(this.#chunkBytes, end - chunkStart));
      }
    }
  }

  /** The chunks of a range that are not holes; looks at whichever is fewer, chunk numbers or present chunks. */
  #presentBetween(first: number, last: number): number[] {
    if (last - first > this.#present.size) return [...this.#present].filter((index) => index >= first && index <= last);
    return Array.from({ length: last - first + 1 }, (_, place) => first + place).filter((index) =>
      this.#present.has(index),
    );
  }

  /** The bytes of a chunk to write into, which are pending from now on. */
  *#editable(index: number): Co<Uint8Array> {
    const pending = this.#pending.editable(index);
    if (pending !== undefined) return pending;
    const isHole = !this.#present.has(index);
    const chunk = isHole ? new Uint8Array(this.#chunkBytes) : (yield* settle(this.#reader.fetch(index))).slice();
    this.#setChunk(index, chunk);
    return chunk;
  }

  #setChunk(index: number, chunk: Uint8Array): void {
    this.#reader.forget(index);
    this.#pending.set(index, chunk);
    this.#present.add(index);
  }

  #dropChunk(index: number): void {
    this.#reader.forget(index);
    this.#pending.set(index, 'zeroes');
    this.#present.delete(index);
  }

  /** The commit begins between two changes, and others may go on while it lasts. */
  *#flush(): Co<void> {
    const commit = yield* this.#changing.run(() => this.#beginCommit());
    if (commit !== undefined) yield commit.ended;
  }

  /** Commits early when too much has gathered. If that fails nothing more is taken, so memory stays bounded. */
  *#makeRoom(): Co<void> {
    if (this.#pending.bytes < this.#disk.dirtyBytes) return;
    const commit = yield* this.#beginCommit();
    if (commit !== undefined) yield commit.ended;
  }

  /** Runs inside the mutex. @returns the commit that holds everything so far, or undefined when the database has it */
  *#beginCommit(): Co<{ readonly ended: Promise<void> } | undefined> {
    this.#refuseClosed();
    const earlier = this.#committing;
    if (earlier !== undefined) {
      if (!this.#dirty) return { ended: earlier };
      // If it fails, who began it hears of it, and its changes are part of the one that begins now.
      yield earlier.catch(() => undefined);
      this.#refuseClosed();
    }
    if (!this.#dirty) return undefined;
    this.#committing = this.#commit();
    return { ended: this.#committing };
  }

  /** One transaction of everything so far. */
  async #commit(): Promise<void> {
    const record: DiskRecord = { length: this.#length, chunkBytes: this.#chunkBytes, modifiedMs: Date.now() };
    const changes = this.#pending.begin();
    this.#dirty = false;
    try {
      await this.#disk.store.commit(record, changes);
    } catch (error) {
      this.#pending.failed();
      this.#dirty = true;
      throw error;
    } finally {
      this.#committing = undefined;
    }
    this.#pending.succeeded();
    this.#modifiedMs = record.modifiedMs;
    if (!this.#open) return;
    for (const [index, change] of changes) {
      if (change !== 'zeroes' && this.#pending.get(index) === undefined) this.#reader.seed(index, change);
    }
  }

  *#spans(offset: number, length: number): Generator<Span> {
    let done = 0;
    while (done < length) {
      const index = Math.floor((offset + done) / this.#chunkBytes);
      const inChunk = offset + done - index * this.#chunkBytes;
      const count = Math.min(this.#chunkBytes - inChunk, length - done);
      yield { index, start: inChunk, length: count, done };
      done += count;
    }
  }

  #refuseClosed(): void {
    if (!this.#open) throw this.#closed();
  }

  #refuseReadOnly(op: string): void {
    this.#refuseClosed();
    if (this.readOnly) throw readOnlyError('indexeddb', this.#disk.store.filename, op);
  }

  #closed(): BlockError {
    return closedError('indexeddb', this.#disk.store.filename);
  }
}

function copySpan(chunk: ChunkChange, { start: from, length, done }: Span, buffer: Uint8Array): void {
  if (chunk === 'zeroes') buffer.fill(0, done, done + length);
  else buffer.set(chunk.subarray(from, from + length), done);
}

/** Waits for all, also when one fails: the buffer is the caller's again only then. */
async function allSettled(waiting: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(waiting)).find((copy) => copy.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

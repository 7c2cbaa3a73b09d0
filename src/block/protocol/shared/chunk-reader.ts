/**
 * Reads over a source that is slow to answer and likes large requests: whole chunks, kept in a bounded cache. A chunk that is on
 * its way is not asked for twice, misses that lie side by side become one request, several requests run at a time, and
 * sequential reading is seen and served ahead.
 */
import type { MaybePromise } from '../../co.ts';
import { ChunkCache } from './chunk-cache.ts';
import { ReadAhead, type ReadAheadLimits } from './read-ahead.ts';

export interface ChunkSource {
  /** Bytes, now. */
  readonly length: number;
  readonly chunkBytes: number;
  /** Fetches chunks that lie side by side. Each has memory of its own: a view would keep what it is a view of alive. */
  load(first: number, count: number): Promise<readonly Uint8Array[]>;
  /** A chunk that can be had without waiting, of the caller's own memory. */
  loadNow?(index: number): Uint8Array | undefined;
  /** Chunks that reading ahead leaves out. */
  skipAhead?(index: number): boolean;
}

export interface ChunkReaderLimits {
  readonly cacheBytes: number;
  /** Requests at a time. */
  readonly parallel: number;
  /** A merged request is no longer than this, unless one chunk is. */
  readonly requestBytes: number;
  readonly readAhead: ReadAheadLimits;
}

interface Awaited {
  requested: boolean;
  /** The chunk was changed after it was requested: what comes is good only for who waits already. */
  stale: boolean;
  readonly promise: Promise<Uint8Array>;
  readonly resolve: (chunk: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

export class ChunkReader {
  readonly #source: ChunkSource;
  readonly #limits: ChunkReaderLimits;
  readonly #cache: ChunkCache;
  readonly #readAhead: ReadAhead;
  /** Chunks that were asked for and have not come yet, requested or not. */
  readonly #awaited = new Map<number, Awaited>();
  /** Of those, the ones that no request was made for yet; what a caller waits for goes first. */
  readonly #demanded = new Set<number>();
  readonly #ahead = new Set<number>();
  #requests = 0;
  #pumpScheduled = false;
  #closedBy: Error | undefined;

  constructor(source: ChunkSource, limits: ChunkReaderLimits) {
    this.#source = source;
    this.#limits = limits;
    this.#cache = new ChunkCache(limits.cacheBytes);
    this.#readAhead = new ReadAhead(limits.readAhead);
  }

  /** Fills the buffer, with zeroes past the end; at once when everything is there. */
  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    const { length, chunkBytes } = this.#source;
    const end = Math.min(offset + buffer.length, length);
    buffer.fill(0, Math.max(0, end - offset));
    if (end <= offset) return;
    let missing: number[] | undefined;
    const last = Math.floor((end - 1) / chunkBytes);
    for (let index = Math.floor(offset / chunkBytes); index <= last; index++) {
      const chunk = this.#chunkNow(index);
      if (chunk === undefined) (missing ??= []).push(index);
      else this.#copy(index, chunk, offset, buffer);
    }
    const waiting = missing === undefined ? undefined : this.#readMissing(missing, offset, buffer);
    this.noteRead(offset, end);
    return waiting;
  }

  /** One chunk, at once when it is there. Who changes it must `forget` it first. */
  fetch(index: number): MaybePromise<Uint8Array> {
    return this.#chunkNow(index) ?? this.#want(index, this.#demanded);
  }

  /** Drops a chunk that is about to change, also when it is on its way. */
  forget(index: number): void {
    this.#cache.delete(index);
    const awaited = this.#awaited.get(index);
    if (awaited?.requested === true) awaited.stale = true;
  }

  /** Fetches ahead if the read belongs to a sequential stream. `read` does this by itself. */
  noteRead(offset: number, end: number): void {
    const range = this.#readAhead.note(offset, end);
    if (range === undefined) return;
    const { length, chunkBytes } = this.#source;
    const to = Math.min(range.to, length);
    for (let index = Math.floor(range.from / chunkBytes); index * chunkBytes < to; index++) {
      if (this.#source.skipAhead?.(index) === true || this.#chunkNow(index) !== undefined) continue;
      // A chunk that cannot be fetched ahead is asked for again when it is needed, and its error is heard then.
      this.#want(index, this.#ahead).catch(() => undefined);
    }
  }

  /** Puts a chunk into the cache that came by another way. The chunk owns its whole memory. */
  seed(index: number, chunk: Uint8Array): void {
    this.#cache.put(index, chunk);
  }

  /** Gives up everything that is on its way: who waits for it gets the error. Nothing may be read afterwards. */
  close(error: Error): void {
    this.#closedBy = error;
    this.#demanded.clear();
    this.#ahead.clear();
    this.#cache.clear();
    for (const awaited of this.#awaited.values()) awaited.reject(error);
    this.#awaited.clear();
  }

  #chunkNow(index: number): Uint8Array | undefined {
    const cached = this.#cache.get(index);
    if (cached !== undefined) return cached;
    const loaded = this.#source.loadNow?.(index);
    if (loaded !== undefined) this.#cache.put(index, loaded);
    return loaded;
  }

  /** Copies what a buffer wants of a chunk. */
  #copy(index: number, chunk: Uint8Array, offset: number, buffer: Uint8Array): void {
    const chunkStart = index * this.#source.chunkBytes;
    const from = Math.max(offset, chunkStart);
    const to = Math.min(offset + buffer.length, chunkStart + chunk.length);
    buffer.set(chunk.subarray(from - chunkStart, to - chunkStart), from - offset);
  }

  /** Waits for every chunk, those of a read that fails too: the buffer is the caller's again only then. */
  async #readMissing(missing: readonly number[], offset: number, buffer: Uint8Array): Promise<void> {
    const copies = missing.map(async (index) => {
      this.#copy(index, await this.#want(index, this.#demanded), offset, buffer);
    });
    const failed = (await Promise.allSettled(copies)).find((copy) => copy.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  #want(index: number, queue: Set<number>): Promise<Uint8Array> {
    let awaited = this.#awaited.get(index);
    if (awaited === undefined || awaited.stale) {
      awaited = newAwaited();
      this.#awaited.set(index, awaited);
      queue.add(index);
    } else if (queue === this.#demanded && this.#ahead.delete(index)) {
      queue.add(index);
    }
    this.#schedulePump();
    return awaited.promise;
  }

  /** Reads that are made in one go are all looked at before the first request. */
  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#requests < this.#limits.parallel && this.#demanded.size + this.#ahead.size > 0) {
      const { first, count } = this.#takeRun();
      const run = Array.from({ length: count }, (_, place) => this.#awaited.get(first + place)!);
      this.#requests++;
      this.#request(first, run)
        .catch((error: unknown) => this.#runFailed(first, run, error))
        .finally(() => {
          this.#requests--;
          this.#pump();
        });
    }
  }

  /** Takes the longest-waiting chunk out of the queues, with its neighbours. */
  #takeRun(): { readonly first: number; readonly count: number } {
    const queue = this.#demanded.size > 0 ? this.#demanded : this.#ahead;
    const start = queue.values().next().value!;
    const most = Math.max(1, Math.floor(this.#limits.requestBytes / this.#source.chunkBytes));
    const take = (index: number) => this.#demanded.delete(index) || this.#ahead.delete(index);
    take(start);
    let first = start;
    let end = start + 1;
    while (end - first < most && take(end)) end++;
    while (end - first < most && take(first - 1)) first--;
    return { first, count: end - first };
  }

  async #request(first: number, run: readonly Awaited[]): Promise<void> {
    for (const awaited of run) awaited.requested = true;
    const chunks = await this.#source.load(first, run.length);
    if (this.#closedBy !== undefined) throw this.#closedBy;
    for (const [place, awaited] of run.entries()) {
      const chunk = chunks[place]!;
      if (!awaited.stale) this.#cache.put(first + place, chunk);
      awaited.resolve(chunk);
      this.#noLongerAwaited(first + place, awaited);
    }
  }

  #runFailed(first: number, run: readonly Awaited[], error: unknown): void {
    for (const [place, awaited] of run.entries()) {
      awaited.reject(error);
      this.#noLongerAwaited(first + place, awaited);
    }
  }

  #noLongerAwaited(index: number, awaited: Awaited): void {
    if (this.#awaited.get(index) === awaited) this.#awaited.delete(index);
  }
}

function newAwaited(): Awaited {
  let resolve: Awaited['resolve'] = () => undefined;
  let reject: Awaited['reject'] = () => undefined;
  const promise = new Promise<Uint8Array>((fulfil, fail) => {
    resolve = fulfil;
    reject = fail;
  });
  return { promise, resolve, reject, requested: false, stale: false };
}

/** Cuts bytes into chunks that own their memory. */
export function splitChunks(bytes: Uint8Array, chunkBytes: number): readonly Uint8Array[] {
  if (bytes.length <= chunkBytes && bytes.length === bytes.buffer.byteLength) return [bytes];
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) chunks.push(bytes.slice(at, at + chunkBytes));
  return chunks;
}

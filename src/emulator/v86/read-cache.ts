/**
 * A small cache with read-ahead in front of a disk behind messages, so that a guest that reads on and on does not wait for
 * one message each. It is bounded in bytes, and what it answers is never older than the newest write that was issued.
 *
 * How it stays true: a write changes the lines that are cached at once, and marks every fetch in flight that it touches. A
 * fetch that was marked, or that began while a write to its range was pending, may carry old bytes: it answers only the
 * request that began it, with the pending writes laid over it, and is neither kept nor shared.
 */

import { copyInto, overlay, type PendingWrites } from './pending-writes.ts';

/** The unit of caching, in bytes. */
export const LINE_BYTES = 32 * 1024;

/** A first read-ahead is this long; it doubles while the guest goes on reading in sequence. */
const FIRST_READ_AHEAD_BYTES = 64 * 1024;

export interface ReadCacheOptions {
  /** Bytes that may be cached; 0 turns caching and read-ahead off. */
  readonly cacheSize: number;
  /** The longest read-ahead in bytes; 0 turns it off. */
  readonly readAhead: number;
}

export interface ReadSource {
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A run of lines on its way from the disk. */
interface Fetch {
  readonly offset: number;
  readonly end: number;
  readonly data: Promise<Uint8Array>;
  /** Nobody wrote to the range since before it began. */
  fresh: boolean;
}

export class ReadCache {
  hits = 0;
  readAheads = 0;

  readonly #source: ReadSource;
  readonly #writes: PendingWrites;
  readonly #cacheSize: number;
  readonly #maxReadAhead: number;
  /** By line number, least recently used first. */
  readonly #lines = new Map<number, Uint8Array>();
  #bytes = 0;
  readonly #fetches = new Set<Fetch>();
  /** Where the guest's next read begins if it reads in sequence. */
  #expected = -1;
  #window = 0;

  constructor(source: ReadSource, writes: PendingWrites, options: ReadCacheOptions) {
    this.#source = source;
    this.#writes = writes;
    this.#cacheSize = options.cacheSize;
    this.#maxReadAhead = Math.min(options.readAhead, options.cacheSize / 2);
  }

  /** Bytes that are cached. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Answers at once when all of it is cached. The result is only valid until the next call. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array> {
    // A long read would push out everything else and gains nothing.
    if (length > this.#cacheSize / 4) {
      this.#expected = offset + length;
      return this.#readThrough(offset, length);
    }
    const cached = this.#readCached(offset, length);
    const result = cached ?? this.#readMissing(offset, length);
    if (cached !== undefined) this.hits += 1;
    this.#readAhead(offset, length);
    return result;
  }

  /** A write of `data` was issued. */
  written(offset: number, data: Uint8Array): void {
    this.#touch(offset, data.length);
    this.#eachLine(offset, data.length, (line, bytes) => copyInto(bytes, offset - line * LINE_BYTES, data));
  }

  /** The range no longer reads as what is cached: a discard was issued, or a write failed. */
  drop(offset: number, length: number): void {
    this.#touch(offset, length);
    this.#eachLine(offset, length, (line, bytes) => {
      this.#lines.delete(line);
      this.#bytes -= bytes.length;
    });
  }

  clear(): void {
    this.drop(0, this.#source.size);
  }

  #touch(offset: number, length: number): void {
    for (const fetch of this.#fetches) {
      if (fetch.offset < offset + length && offset < fetch.end) fetch.fresh = false;
    }
  }

  #eachLine(offset: number, length: number, visit: (line: number, bytes: Uint8Array) => void): void {
    const first = lineOf(offset);
    const last = lineOf(offset + length - 1);
    if (last - first < this.#lines.size) {
      for (let line = first; line <= last; line += 1) {
        const bytes = this.#lines.get(line);
        if (bytes !== undefined) visit(line, bytes);
      }
    } else {
      // Deleting the entry that is being visited is safe in a Map.
      for (const [line, bytes] of this.#lines) if (line >= first && line <= last) visit(line, bytes);
    }
  }

  #readCached(offset: number, length: number): Uint8Array | undefined {
    const first = lineOf(offset);
    const last = lineOf(offset + length - 1);
    for (let line = first; line <= last; line += 1) if (!this.#lines.has(line)) return undefined;
    if (first === last) {
      const at = offset - first * LINE_BYTES;
      return this.#use(first).subarray(at, at + length);
    }
    const result = new Uint8Array(length);
    for (let line = first; line <= last; line += 1) copyInto(result, line * LINE_BYTES - offset, this.#use(line));
    return result;
  }

  /** Moves a cached line to the young end. */
  #use(line: number): Uint8Array {
    const bytes = this.#lines.get(line)!;
    this.#lines.delete(line);
    this.#lines.set(line, bytes);
    return bytes;
  }

  async #readMissing(offset: number, length: number): Promise<Uint8Array> {
    const pending = this.#writes.overlapping(offset, length);
    const result = new Uint8Array(length);
    const fetches = this.#gather(offset, length, result);
    try {
      const found = await Promise.all(fetches.map((fetch) => fetch.data));
      found.forEach((bytes, index) => copyInto(result, fetches[index]!.offset - offset, bytes));
    } catch {
      // A fetch covers whole lines, and what failed may be a sector that the guest did not ask for: only the exact range
      // tells. If that fails too, its error is the guest's.
      copyInto(result, 0, await this.#source.read(offset, length));
    }
    overlay(result, offset, pending);
    return result;
  }

  async #readThrough(offset: number, length: number): Promise<Uint8Array> {
    const pending = this.#writes.overlapping(offset, length);
    const result = await this.#source.read(offset, length);
    overlay(result, offset, pending);
    return result;
  }

  /** Copies what is cached into `result` and returns fetches for the rest, new ones and such as are already on their way. */
  #gather(offset: number, length: number, result: Uint8Array): Fetch[] {
    const fetches: Fetch[] = [];
    const last = lineOf(offset + length - 1);
    let line = lineOf(offset);
    while (line <= last) {
      const onItsWay = this.#onItsWay(line);
      if (onItsWay !== undefined) {
        fetches.push(onItsWay);
        line = lineOf(onItsWay.end - 1) + 1;
      } else if (this.#lines.has(line)) {
        copyInto(result, line * LINE_BYTES - offset, this.#use(line));
        line += 1;
      } else {
        const missing = this.#missingFrom(line, last);
        fetches.push(this.#fetch(line, missing));
        line += missing;
      }
    }
    return fetches;
  }

  #onItsWay(line: number): Fetch | undefined {
    const at = line * LINE_BYTES;
    for (const fetch of this.#fetches) if (fetch.fresh && fetch.offset <= at && at < fetch.end) return fetch;
    return undefined;
  }

  /** How many lines from `line` up to `last` are neither cached nor on their way. */
  #missingFrom(line: number, last: number): number {
    let count = 0;
    while (line + count <= last && !this.#lines.has(line + count) && this.#onItsWay(line + count) === undefined)
      count += 1;
    return count;
  }

  #fetch(line: number, count: number): Fetch {
    const offset = line * LINE_BYTES;
    const end = Math.min((line + count) * LINE_BYTES, this.#source.size);
    const fetch: Fetch = {
      offset,
      end,
      data: this.#source.read(offset, end - offset).then(
        (bytes) => {
          this.#fetches.delete(fetch);
          if (fetch.fresh) this.#keep(line, bytes);
          return bytes;
        },
        (error: unknown) => {
          this.#fetches.delete(fetch);
          throw error;
        },
      ),
      fresh: this.#writes.overlapping(offset, end - offset).length === 0,
    };
    this.#fetches.add(fetch);
    return fetch;
  }

  #keep(firstLine: number, bytes: Uint8Array): void {
    for (let at = 0, line = firstLine; at < bytes.length; at += LINE_BYTES, line += 1) {
      if (this.#lines.has(line)) continue;
      // A copy of its own: a view would keep the whole run alive after the rest of it was evicted.
      const kept = bytes.slice(at, at + LINE_BYTES);
      this.#lines.set(line, kept);
      this.#bytes += kept.length;
    }
    for (const [line, kept] of this.#lines) {
      if (this.#bytes <= this.#cacheSize) break;
      this.#lines.delete(line);
      this.#bytes -= kept.length;
    }
  }

  /** When a read continues the one before, fetches what will be read next, in few long runs. */
  #readAhead(offset: number, length: number): void {
    const sequential = offset === this.#expected;
    this.#expected = offset + length;
    if (!sequential) {
      this.#window = 0;
      return;
    }
    const next = lineOf(this.#expected - 1) + 1;
    const half = this.#window / 2;
    // Enough is cached or coming already: one longer message later is better than many short ones now.
    if (
      this.#window > 0 &&
      this.#missingFrom(next + Math.floor(half / LINE_BYTES), next + Math.floor(half / LINE_BYTES)) === 0
    )
      return;
    this.#window = Math.min(Math.max(FIRST_READ_AHEAD_BYTES, this.#window * 2), this.#maxReadAhead);
    this.#prefetch(next, Math.floor(this.#window / LINE_BYTES));
  }

  #prefetch(first: number, count: number): void {
    const last = Math.min(first + count, Math.ceil(this.#source.size / LINE_BYTES)) - 1;
    for (let line = first; line <= last;) {
      const missing = this.#missingFrom(line, last);
      if (missing > 0) {
        this.readAheads += 1;
        // Nobody asked for these bytes yet, so nobody is told: when the guest does, it reads them itself and gets the error.
        this.#fetch(line, missing).data.catch(() => undefined);
      }
      line += Math.max(1, missing);
    }
  }
}

function lineOf(offset: number): number {
  return Math.floor(offset / LINE_BYTES);
}

import { type BlockLimits, BYTE_LIMITS, type Storage, type StorageIdentity } from '../../driver.ts';
import type { MaybePromise } from '../../co.ts';
import { ChunkReader, splitChunks, type ChunkSource } from '../shared/chunk-reader.ts';
import { ReadOnlyStorage } from '../shared/read-only-storage.ts';
import type { KeptChunks } from './kept-chunks.ts';
import { fetchPart, type FirstLook } from './remote-file.ts';
import type { HttpStatistics, Requester } from './requester.ts';

const PARALLEL_REQUESTS = 6;
const REQUEST_BYTES = 1024 * 1024;
const FIRST_READ_AHEAD = 1024 * 1024;
const MOST_READ_AHEAD = 4 * 1024 * 1024;

export interface HttpStorageOptions {
  readonly chunkBytes: number;
  readonly cacheBytes: number;
  /** Bytes; undefined: it grows with sequential reading. */
  readonly readAhead: number | undefined;
}

export interface HttpStorageStatistics extends HttpStatistics {
  /** Bytes that were read from what earlier visits kept. */
  readonly keptBytes: number;
}

/** A file on a server. Reads only. A read of what is cached does not wait. */
export class HttpStorage extends ReadOnlyStorage implements Storage {
  readonly limits: BlockLimits;
  readonly #requester: Requester;
  readonly #identity: StorageIdentity;
  readonly #kept: KeptChunks | undefined;
  readonly #reader: ChunkReader;
  #keptBytes = 0;

  /** @param kept chunks of that identity from earlier visits, if they are kept at all */
  constructor(
    requester: Requester,
    options: HttpStorageOptions,
    identity: StorageIdentity,
    kept: KeptChunks | undefined,
  ) {
    super('http', requester.options.filename);
    this.limits = { ...BYTE_LIMITS, transferOptimal: REQUEST_BYTES };
    this.#requester = requester;
    this.#identity = identity;
    this.#kept = kept;
    this.#reader = new ChunkReader(this.#source(options.chunkBytes), {
      cacheBytes: options.cacheBytes,
      parallel: PARALLEL_REQUESTS,
      requestBytes: REQUEST_BYTES,
      readAhead: readAheadLimits(options),
    });
  }

  /** Takes what the first request brought, so that it is not asked for again. */
  seed(look: FirstLook, chunkBytes: number): void {
    for (const [index, chunk] of splitChunks(look.start, chunkBytes).entries()) {
      this.#kept?.put(index, chunk);
      this.#reader.seed(index, chunk);
    }
  }

  getLength(): number {
    this.refuseClosed();
    return this.#identity.size;
  }

  read(offset: number, buffer: Uint8Array): MaybePromise<void> {
    this.refuseClosed();
    return this.#reader.read(offset, buffer);
  }

  override flush(): void {
    super.flush();
    this.#kept?.flush();
  }

  identity(): StorageIdentity {
    return this.#identity;
  }

  /** What was sent for this storage since it was opened. */
  statistics(): HttpStorageStatistics {
    return { ...this.#requester.statistics, keptBytes: this.#keptBytes };
  }

  async close(): Promise<void> {
    if (!this.markClosed()) return;
    const error = this.closedError();
    this.#reader.close(error);
    this.#requester.close(error);
    await this.#kept?.close();
  }

  #source(chunkBytes: number): ChunkSource {
    const source = {
      length: this.#identity.size,
      chunkBytes,
      load: (first: number, count: number) => this.#load(first, count, chunkBytes),
    };
    const kept = this.#kept;
    if (kept === undefined) return source;
    return {
      ...source,
      loadNow: (index) => {
        const chunk = kept.get(index);
        this.#keptBytes += chunk?.length ?? 0;
        return chunk;
      },
    };
  }

  async #load(first: number, count: number, chunkBytes: number): Promise<readonly Uint8Array[]> {
    const offset = first * chunkBytes;
    const length = Math.min(count * chunkBytes, this.#identity.size - offset);
    const chunks = splitChunks(await fetchPart(this.#requester, this.#identity, offset, length), chunkBytes);
    if (this.isOpen) for (const [place, chunk] of chunks.entries()) this.#kept?.put(first + place, chunk);
    return chunks;
  }
}

function readAheadLimits({ readAhead, chunkBytes, cacheBytes }: HttpStorageOptions) {
  // What is fetched ahead must still be in the cache when its turn comes.
  const most = Math.floor(cacheBytes / 4);
  const max = Math.min(readAhead ?? MOST_READ_AHEAD, most);
  return { min: Math.min(readAhead ?? FIRST_READ_AHEAD, max), max, gap: chunkBytes };
}

/**
 * Chunks of a file on a server, kept in the browser's file system for the next visit. Two files for each URL: the chunks in the
 * order in which they came (a sparse file would count against the quota with its whole length), and an index of them. The index
 * names a chunk only after the chunk is on stable storage.
 */
import type { StorageIdentity } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { fromException } from '../shared/exceptions.ts';
import { fileHandle, hasSyncHandles } from '../shared/private-files.ts';
import { takeLock, type HeldLock } from '../shared/web-lock.ts';
import { difference } from './identity.ts';
import {
  chunkCount,
  decodeIndex,
  encodeHeader,
  ENTRY_BYTES,
  HEADER_BYTES,
  MAX_CHUNKS,
  type KeptIndex,
} from './kept-index.ts';

/** So many bytes are kept before the index is written. */
const UNINDEXED_BYTES = 4 * 1024 * 1024;

interface KeptFiles {
  readonly chunks: FileSystemSyncAccessHandle;
  readonly index: FileSystemSyncAccessHandle;
  readonly lock: HeldLock;
}

export class KeptChunks {
  readonly #url: string;
  readonly #chunkBytes: number;
  readonly #files: KeptFiles;
  #index: KeptIndex | undefined;
  #used = 0;
  #unindexed: number[] = [];
  #full = false;

  private constructor(url: string, chunkBytes: number, files: KeptFiles) {
    this.#url = url;
    this.#chunkBytes = chunkBytes;
    this.#files = files;
    this.#index = decodeIndex(readWhole(files.index), url, chunkBytes, files.chunks.getSize());
    this.#used = this.#index?.used ?? 0;
  }

  /**
   * Opens what is kept of a URL.
   *
   * @param folder path in the browser's file system
   * @returns undefined when another disk, tab or worker is using it: this one then does without
   * @throws BlockError `unsupported` where files cannot be opened, `invalid` for a bad folder, `no-space`, `io`
   */
  static async open(folder: string, url: string, chunkBytes: number): Promise<KeptChunks | undefined> {
    if (!hasSyncHandles()) {
      const message =
        "Option 'keep' needs the browser's file system, which opens in dedicated workers of secure pages only";
      throw new BlockError('unsupported', message, { driver: 'http' });
    }
    const path = `${folder.replace(/\/$/, '')}/${await digest(url)}`;
    try {
      const files = await openFiles(path);
      return new KeptChunks(url, chunkBytes, files);
    } catch (error) {
      const failure = fromException(error, { driver: 'http', filename: path });
      if (failure.kind === 'busy') return undefined;
      throw failure;
    }
  }

  /** The version that chunks are kept of, if any are. */
  get identity(): StorageIdentity | undefined {
    return this.#index?.identity;
  }

  /**
   * Says which version is wanted; chunks of any other are dropped. Nothing is kept of a version that has neither an entity tag
   * nor a time, for nobody could tell it from the next one.
   */
  use(identity: StorageIdentity): void {
    const known = this.#index?.identity;
    if (known !== undefined && isSameVersion(known, identity)) return;
    this.#index = undefined;
    this.#used = 0;
    this.#unindexed = [];
    const count = chunkCount(identity.size, this.#chunkBytes);
    const header = encodeHeader(this.#url, this.#chunkBytes, identity);
    const recognisable = identity.etag !== undefined || identity.lastModifiedMs !== undefined;
    this.#store(() => {
      const { chunks, index } = this.#files;
      index.truncate(0);
      chunks.truncate(0);
      if (header === undefined || count > MAX_CHUNKS || !recognisable) return;
      index.write(header, { at: 0 });
      index.truncate(HEADER_BYTES + count * ENTRY_BYTES);
      this.#index = { identity, places: new Uint32Array(count), used: 0 };
    });
  }

  /** The bytes of a chunk that was kept, or undefined. */
  get(index: number): Uint8Array | undefined {
    const place = this.#index?.places[index] ?? 0;
    if (place === 0) return undefined;
    const chunk = new Uint8Array(this.#lengthOf(index));
    const count = this.#files.chunks.read(chunk, { at: (place - 1) * this.#chunkBytes });
    // What is not there is fetched again.
    return count === chunk.length ? chunk : undefined;
  }

  /** Keeps a chunk, or does not when there is no room: it can be fetched again. */
  put(index: number, chunk: Uint8Array): void {
    const places = this.#index?.places;
    if (places === undefined || places[index] !== 0 || this.#full) return;
    this.#store(() => {
      const { chunks } = this.#files;
      const at = this.#used * this.#chunkBytes;
      // A place has the size of a chunk also when the last chunk is shorter.
      const written = chunks.write(chunk, { at });
      if (written === chunk.length && chunk.length < this.#chunkBytes) chunks.truncate(at + this.#chunkBytes);
      this.#full = written !== chunk.length;
      if (this.#full) return;
      this.#used++;
      places[index] = this.#used;
      this.#unindexed.push(index);
    });
    if (this.#unindexed.length * this.#chunkBytes >= UNINDEXED_BYTES) this.flush();
  }

  /** Sees to it that the next visit finds what was kept so far. */
  flush(): void {
    const places = this.#index?.places;
    if (places === undefined || this.#unindexed.length === 0) return;
    this.#store(() => {
      const { chunks, index } = this.#files;
      chunks.flush();
      const entry = new Uint8Array(ENTRY_BYTES);
      for (const chunk of this.#unindexed) {
        new DataView(entry.buffer).setUint32(0, places[chunk]!, true);
        index.write(entry, { at: HEADER_BYTES + chunk * ENTRY_BYTES });
      }
      index.flush();
      this.#unindexed = [];
    });
  }

  async close(): Promise<void> {
    try {
      this.flush();
      this.#files.chunks.close();
      this.#files.index.close();
    } finally {
      await this.#files.lock.release();
    }
  }

  #lengthOf(index: number): number {
    return Math.min(this.#chunkBytes, this.#index!.identity.size - index * this.#chunkBytes);
  }

  /** Storing is a favour: when it fails, for want of room above all, reading goes on without. */
  #store(work: () => void): void {
    try {
      work();
    } catch {
      this.#full = true;
    }
  }
}

function isSameVersion(kept: StorageIdentity, wanted: StorageIdentity): boolean {
  const { size, etag, lastModifiedMs } = wanted;
  if (difference(kept, { size, etag, lastModifiedMs }) !== undefined) return false;
  // At least one thing that tells versions apart was compared.
  const sameTag = kept.etag !== undefined && kept.etag === etag;
  return sameTag || (kept.lastModifiedMs !== undefined && kept.lastModifiedMs === lastModifiedMs);
}

async function openFiles(path: string): Promise<KeptFiles> {
  const lock = await takeLock('http', path, false);
  let chunks: FileSystemSyncAccessHandle | undefined;
  try {
    chunks = await (await fileHandle(`${path}.chunks`, true)).createSyncAccessHandle();
    const index = await (await fileHandle(`${path}.index`, true)).createSyncAccessHandle();
    return { chunks, index, lock };
  } catch (error) {
    chunks?.close();
    await lock.release();
    throw error;
  }
}

/** @returns the bytes of an index file, nothing when it is larger than any index */
function readWhole(handle: FileSystemSyncAccessHandle): Uint8Array {
  const size = handle.getSize();
  if (size > HEADER_BYTES + MAX_CHUNKS * ENTRY_BYTES) return new Uint8Array(0);
  const bytes = new Uint8Array(size);
  return bytes.subarray(0, handle.read(bytes, { at: 0 }));
}

/** A file name for a URL. */
async function digest(url: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(url)));
  return Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

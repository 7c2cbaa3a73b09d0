/**
 * The index of a file of kept chunks: which version of which URL they are of, and where each lies. It comes from storage that
 * anything may have written to, so it is believed only as a whole.
 *
 * Layout, little-endian: 8 bytes magic, 4 bytes length of a JSON text, the text, zeroes up to `HEADER_BYTES`; then 4 bytes for
 * each chunk of the file on the server: 0 when it is not kept, else 1 more than its place in the file of chunks.
 */
import type { StorageIdentity } from '../../driver.ts';

export const HEADER_BYTES = 4096;
export const ENTRY_BYTES = 4;
/** Beyond this many chunks nothing is kept: the index alone would take too much. */
export const MAX_CHUNKS = 2 ** 24;

const MAGIC = new TextEncoder().encode('SPNDLKP1');
const TEXT_OFFSET = 12;

export interface KeptIndex {
  readonly identity: StorageIdentity;
  /** An entry for each chunk. */
  readonly places: Uint32Array;
  /** Places that are taken. */
  readonly used: number;
}

export function chunkCount(size: number, chunkBytes: number): number {
  return Math.ceil(size / chunkBytes);
}

/** @returns the header's bytes, or undefined when the URL is too long for it */
export function encodeHeader(url: string, chunkBytes: number, identity: StorageIdentity): Uint8Array | undefined {
  const text = new TextEncoder().encode(JSON.stringify({ url, chunkBytes, identity }));
  if (TEXT_OFFSET + text.length > HEADER_BYTES) return undefined;
  const header = new Uint8Array(HEADER_BYTES);
  header.set(MAGIC);
  new DataView(header.buffer).setUint32(MAGIC.length, text.length, true);
  header.set(text, TEXT_OFFSET);
  return header;
}

/**
 * Reads an index.
 *
 * @param bytes the whole index file
 * @param chunksLength bytes of the file of chunks
 * @returns undefined when anything in it is not as it should be, or is about something else
 */
export function decodeIndex(
  bytes: Uint8Array,
  url: string,
  chunkBytes: number,
  chunksLength: number,
): KeptIndex | undefined {
  const identity = decodeHeader(bytes, url, chunkBytes);
  if (identity === undefined) return undefined;
  const count = chunkCount(identity.size, chunkBytes);
  if (count > MAX_CHUNKS || bytes.length !== HEADER_BYTES + count * ENTRY_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + HEADER_BYTES, count * ENTRY_BYTES);
  const places = new Uint32Array(count);
  const taken = new Set<number>();
  let used = 0;
  for (let index = 0; index < count; index++) {
    const entry = view.getUint32(index * ENTRY_BYTES, true);
    if (entry === 0) continue;
    if (entry * chunkBytes > chunksLength || taken.has(entry)) return undefined;
    taken.add(entry);
    places[index] = entry;
    used = Math.max(used, entry);
  }
  return { identity, places, used };
}

function decodeHeader(bytes: Uint8Array, url: string, chunkBytes: number): StorageIdentity | undefined {
  if (bytes.length < HEADER_BYTES || MAGIC.some((byte, at) => bytes[at] !== byte)) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset, TEXT_OFFSET).getUint32(MAGIC.length, true);
  if (TEXT_OFFSET + length > HEADER_BYTES) return undefined;
  let header: Partial<Record<string, unknown>>;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.slice(TEXT_OFFSET, TEXT_OFFSET + length));
    header = Object(JSON.parse(text)) as Partial<Record<string, unknown>>;
  } catch {
    // Not JSON is as good as not there: the chunks are fetched again.
    return undefined;
  }
  if (header['url'] !== url || header['chunkBytes'] !== chunkBytes) return undefined;
  return checkedIdentity(header['identity']);
}

function checkedIdentity(value: unknown): StorageIdentity | undefined {
  const { size, etag, lastModifiedMs } = Object(value) as Partial<Record<string, unknown>>;
  if (!Number.isSafeInteger(size) || (size as number) < 0) return undefined;
  if (etag !== undefined && typeof etag !== 'string') return undefined;
  if (lastModifiedMs !== undefined && !Number.isSafeInteger(lastModifiedMs)) return undefined;
  return {
    size: size as number,
    ...(etag === undefined ? {} : { etag }),
    ...(lastModifiedMs === undefined ? {} : { lastModifiedMs: lastModifiedMs as number }),
  };
}

/**
 * The identity of a base: what tells that the file under an overlay is still the one that the overlay was made on. A base that
 * changed would show the guest a mixture of two disks.
 */
import { sha256Hex } from '../../codec/sha256.ts';
import { settle, type Co } from '../co.ts';
import type { FormatImage, StorageIdentity } from '../driver.ts';
import { BlockError } from '../error.ts';
import { ImageNode } from './image-node.ts';
import type { BlockNode } from './node.ts';
import { StorageNode } from './storage-node.ts';

/** The first and the last bytes of the file that the digest covers. */
const DIGEST_BYTES = 65_536;
/** No identity that we write is longer; anything longer is not ours. */
const MAX_TEXT = 4096;

/** Bytes; a strong ETag; milliseconds since 1970; SHA-256 of the first and the last 64 KiB, in hexadecimal. */
export interface BaseIdentity {
  readonly size: number;
  readonly etag?: string;
  readonly lastModifiedMs?: number;
  readonly digest: string;
}

/**
 * Takes the identity of the file at the bottom of a node's own layer (not of its backing files).
 *
 * @returns undefined for a node without a single file, which has no identity to compare
 */
export function* identityOf(node: BlockNode): Co<BaseIdentity | undefined> {
  const file = fileOf(node);
  if (file === undefined) return undefined;
  const known: StorageIdentity = (yield* settle(file.storage.identity?.())) ?? { size: file.length };
  const length = Math.min(DIGEST_BYTES, file.length);
  const ends = new Uint8Array(2 * length);
  yield* settle(file.read(0, ends.subarray(0, length)));
  yield* settle(file.read(file.length - length, ends.subarray(length)));
  return { ...known, digest: sha256Hex(ends) };
}

export function encodeIdentity(identity: BaseIdentity): string {
  return JSON.stringify(identity);
}

/** @throws BlockError `corrupt` when the text is not an identity */
export function decodeIdentity(text: string): BaseIdentity {
  let value: unknown;
  try {
    value = text.length <= MAX_TEXT ? JSON.parse(text) : undefined;
  } catch (cause) {
    throw new BlockError('corrupt', "The record of the base's identity is not valid JSON", {}, { cause });
  }
  if (isIdentity(value)) return value;
  throw new BlockError('corrupt', "The record of the base's identity is not one: 'size' and 'digest' are wanted");
}

/** @returns what differs, for people, or undefined when it is the same file as far as can be told */
export function difference(recorded: BaseIdentity, found: BaseIdentity): string | undefined {
  if (recorded.size !== found.size) return `it had ${recorded.size} bytes and has ${found.size}`;
  if (recorded.digest !== found.digest) return 'its first or last 64 KiB are different';
  if (recorded.etag !== undefined && found.etag !== undefined && recorded.etag !== found.etag) {
    return `its ETag was ${recorded.etag} and is ${found.etag}`;
  }
  if (
    recorded.lastModifiedMs !== undefined &&
    found.lastModifiedMs !== undefined &&
    recorded.lastModifiedMs !== found.lastModifiedMs
  ) {
    return `it was last modified ${new Date(recorded.lastModifiedMs).toISOString()} and now ${new Date(found.lastModifiedMs).toISOString()}`;
  }
  return undefined;
}

/** The storage that holds an image's own bytes: down its `file` children. */
export function fileOf(node: BlockNode): StorageNode | undefined {
  let current: BlockNode | undefined = node;
  while (current !== undefined && !(current instanceof StorageNode)) {
    // The child that a filter passes requests on to has whatever name its driver gives it.
    current = current.isFilter ? current.below : current.children.get('file')?.node;
  }
  return current;
}

function isIdentity(value: unknown): value is BaseIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { size, digest, etag, lastModifiedMs } = value as Partial<Record<keyof BaseIdentity, unknown>>;
  return (
    Number.isSafeInteger(size) &&
    typeof digest === 'string' &&
    (etag === undefined || typeof etag === 'string') &&
    (lastModifiedMs === undefined || Number.isSafeInteger(lastModifiedMs))
  );
}

/**
 * Compares what an image says of its parent with what the parent says of itself, where both are of a format that does.
 *
 * @throws BlockError `base-changed`
 */
export function checkLineage(nodeName: string, image: FormatImage, backing: BlockNode): void {
  const wanted = image.lineage?.parent;
  if (wanted === undefined || !(backing instanceof ImageNode)) return;
  const found = backing.image.lineage?.own;
  if (found === undefined || found === wanted || backing.driver.name !== image.info().format) return;
  throw new BlockError(
    'base-changed',
    `'${nodeName}' stands on the version '${wanted}' of its parent, and this one is '${found}': it was changed since, or is another ` +
      "image. Give the right one, or open with 'backing-identity': 'ignore'",
    { node: nodeName, detail: { recorded: wanted, found } },
  );
}

/** Images that were unpacked: they are whole files of this site, in a folder of their own. */
import type { Spindle } from '../../client/index.ts';
import { BlockError } from '../../block/error.ts';
import { baseName, size as sizeOf } from '../parts/text.ts';
import { holdUnfinished, UNPACKING } from '../parts/unfinished.ts';
import { protocolOptions, type Source } from './source.ts';

const FOLDER = 'images';

export interface UnpackedImage {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

/** Space that the browser gives this site, in bytes; undefined where it does not say. */
export async function freeSpace(spindle: Spindle): Promise<number | undefined> {
  const { usage, quota } = await spindle.files.estimate();
  return quota === 0 ? undefined : Math.max(0, quota - usage);
}

/** By name. */
export async function listUnpacked(spindle: Spindle): Promise<UnpackedImage[]> {
  const files = await spindle.files.list(FOLDER);
  return files.map(({ path, size }) => ({ name: baseName(path), size }));
}

export function unpackedSource(name: string): Source & { readonly kind: 'opfs' } {
  return { kind: 'opfs', path: `${FOLDER}/${name}` };
}

/** @throws BlockError `not-found`, `busy` */
export async function deleteUnpacked(spindle: Spindle, name: string): Promise<void> {
  await spindle.files.delete(unpackedSource(name).path);
}

/** Names have no folders, and are none that mean one. @returns why one cannot be used */
export function refusedName(name: string): string | undefined {
  if (name === '') return 'Give it a name.';
  if (name === '.' || name === '..' || /[/\\]/.test(name)) return 'A name has no slashes, and is neither “.” nor “..”.';
  return undefined;
}

export interface UnpackWish {
  readonly name: string;
  /** Of a zip file: which file. */
  readonly entry: string | undefined;
  /** Bytes that it may become. */
  readonly limit: number;
  /** Whether it takes the place of an image of the same name. */
  readonly replace: boolean;
  readonly signal: AbortSignal;
  /** Of packed bytes. */
  onProgress(done: number, total: number): void;
}

/**
 * Unpacks an image into this site's files. It gets its name when it is whole.
 *
 * @throws BlockError `exists`, `no-space`, `corrupt`, `aborted` …; nothing is left of it then, and one that was to be replaced is there
 */
export async function unpackInto(spindle: Spindle, source: Source, wish: UnpackWish): Promise<Source> {
  const { name, entry, limit, replace, signal } = wish;
  const target = unpackedSource(name);
  if (!replace && (await listUnpacked(spindle)).some((image) => image.name === name)) {
    throw new BlockError('exists', `There is an unpacked image '${name}' already`);
  }
  const release = await holdUnfinished();
  try {
    const path = `${UNPACKING}/${crypto.randomUUID()}`;
    const onProgress = (done: number, total: number): void => wish.onProgress(done, total);
    await spindle.unpack(protocolOptions(source), { driver: 'opfs', path }, { limit, entry, signal, onProgress });
    try {
      if (replace) await deleteUnpacked(spindle, name);
      await spindle.files.rename(path, target.path);
    } catch (error) {
      await spindle.files.delete(path);
      throw error;
    }
  } finally {
    release();
  }
  return target;
}

/**
 * Bytes that an image may become. What the archive says of itself is taken for true, if there is space for it; where it says nothing,
 * the space that there is.
 */
export function unpackLimit(size: number | undefined, free: number | undefined): number {
  if (size !== undefined) return size;
  return free ?? Number.MAX_SAFE_INTEGER;
}

/**
 * The block layer knows of a limit, and of a file that it writes; a person knows of space.
 *
 * @param size that the archive says
 */
export function inWordsOfSpace(error: unknown, name: string, size: number | undefined): unknown {
  if (!(error instanceof BlockError)) return error;
  const isLimit = error.kind === 'invalid' && 'limit' in (error.context.detail ?? {});
  if (isLimit && size !== undefined) {
    return new BlockError('corrupt', `${name} becomes longer than the file says of itself`, {}, { cause: error });
  }
  if (!isLimit && error.kind !== 'no-space') return error;
  const needed = size === undefined ? name : `${name} (${sizeOf(size)})`;
  const message = `${needed} does not fit into the space that this browser gives the page`;
  return new BlockError('no-space', message, {}, { cause: error });
}

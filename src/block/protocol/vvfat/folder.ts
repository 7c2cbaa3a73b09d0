/** A folder as the outside shows it: what its files are called, how long they are, and a way to read them. */
import type { MaybePromise } from '../../co.ts';

export interface FolderFile {
  readonly name: string;
  /** Bytes, as they were when the folder was looked at. */
  readonly size: number;
  readonly modifiedMs: number;
  /** @param offset and buffer lie inside the size. @throws BlockError `base-changed` when the file is not what it was, `io` */
  read(offset: number, buffer: Uint8Array): MaybePromise<void>;
}

export interface Folder {
  readonly name: string;
  readonly modifiedMs: number;
  readonly folders: readonly Folder[];
  readonly files: readonly FolderFile[];
}

/** More files and folders than this are refused: their names and places are held in memory. */
export const MAX_ENTRIES = 200_000;
/** Folders inside one another. */
export const MAX_DEPTH = 64;

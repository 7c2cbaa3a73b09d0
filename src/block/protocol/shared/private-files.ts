/** Handles of files in the origin private file system, by path. */
import { BlockError } from '../../error.ts';
import { fromException } from './exceptions.ts';
import { messageOf } from './errors.ts';

/**
 * Takes a path in the origin private file system apart.
 *
 * @param path names with slashes between them, from the top: `disks/mine.qcow2`; a slash in front means nothing
 * @returns the folders from the top and the file's name
 * @throws BlockError `invalid` for an empty name, `.` or `..`
 */
export function splitPath(path: string): { readonly folders: readonly string[]; readonly file: string } {
  const parts = path.replace(/^\//, '').split('/');
  const bad = parts.find((part) => part === '' || part === '.' || part === '..');
  if (bad !== undefined) {
    const message = `'${path}' is no path in the browser's file system: a part of it is '${bad}'; write it like 'disks/mine.qcow2'`;
    throw new BlockError('invalid', message, { driver: 'opfs', filename: path });
  }
  return { folders: parts.slice(0, -1), file: parts.at(-1)! };
}

/** One spelling for one file, so that locks meet. @throws BlockError `invalid` */
export function normalPath(path: string): string {
  const { folders, file } = splitPath(path);
  return [...folders, file].join('/');
}

/**
 * Finds the folder that a file lies in.
 *
 * @param create whether folders that are missing are made
 * @throws BlockError `invalid`, `not-found`, `unsupported` where the browser keeps no files (a private window of Safari)
 */
export async function parentFolder(path: string, create: boolean): Promise<FileSystemDirectoryHandle> {
  const { folders } = splitPath(path);
  let folder = await topFolder();
  try {
    for (const name of folders) folder = await folder.getDirectoryHandle(name, { create });
  } catch (error) {
    throw fromException(error, { driver: 'opfs', filename: path });
  }
  return folder;
}

/**
 * Finds a file.
 *
 * @param create whether it and its folders are made when they are missing
 * @throws BlockError `invalid`, `not-found`, `unsupported`
 */
export async function fileHandle(path: string, create: boolean): Promise<FileSystemFileHandle> {
  const folder = await parentFolder(path, create);
  try {
    return await folder.getFileHandle(splitPath(path).file, { create });
  } catch (error) {
    throw fromException(error, { driver: 'opfs', filename: path });
  }
}

/** Whether a folder, the parent of `path`, has a file of that name. @throws BlockError `invalid` when it is a folder */
export async function hasFile(folder: FileSystemDirectoryHandle, path: string): Promise<boolean> {
  try {
    await folder.getFileHandle(splitPath(path).file);
    return true;
  } catch (error) {
    const failure = fromException(error, { driver: 'opfs', filename: path });
    if (failure.kind === 'not-found') return false;
    throw failure;
  }
}

/** @throws BlockError `unsupported` where the browser keeps no files */
export async function topFolder(): Promise<FileSystemDirectoryHandle> {
  try {
    return await navigator.storage.getDirectory();
  } catch (error) {
    const message = `This browser keeps no files for this page (${messageOf(error)}): leave private mode, or keep the disk in IndexedDB or in memory`;
    throw new BlockError('unsupported', message, { driver: 'opfs' }, { cause: error });
  }
}

/** Whether files can be opened synchronously here: in dedicated workers of secure pages. */
export function hasSyncHandles(): boolean {
  return typeof FileSystemFileHandle === 'function' && 'createSyncAccessHandle' in FileSystemFileHandle.prototype;
}

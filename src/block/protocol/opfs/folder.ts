/** Files and folders of the origin private file system, by path. Works on pages too, where nothing can be opened as a disk. */
import { BlockError } from '../../error.ts';
import { fromException } from '../shared/exceptions.ts';
import { fileHandle, hasFile, normalPath, parentFolder, splitPath, topFolder } from '../shared/private-files.ts';
import { withLock } from '../shared/web-lock.ts';

export interface StoredFile {
  /** From the top. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly lastModifiedMs: number;
}

/**
 * The file as a `File`, for a download or a look: a picture of what is flushed now.
 *
 * @throws BlockError `invalid`, `not-found`, `unsupported`
 */
export async function openFile(path: string): Promise<File> {
  const handle = await fileHandle(path, false);
  try {
    return await handle.getFile();
  } catch (error) {
    throw fromException(error, { driver: 'opfs', filename: path });
  }
}

/**
 * All files in a folder and in the folders below it, by path.
 *
 * @param folder path from the top, '' for everything; one that does not exist has no files
 * @throws BlockError `invalid`, `unsupported`
 */
export async function listFiles(folder = ''): Promise<StoredFile[]> {
  const found: StoredFile[] = [];
  try {
    // The path of any file in the folder leads to it.
    const top = folder === '' ? await topFolder() : await parentFolder(`${folder}/x`, false);
    await collect(top, folder === '' ? '' : `${folder}/`, found);
  } catch (error) {
    if (!(error instanceof BlockError) || error.kind !== 'not-found') throw error;
  }
  return found.toSorted((left, right) => (left.path < right.path ? -1 : 1));
}

/**
 * Deletes a file that nobody has open.
 *
 * @throws BlockError `not-found`, `busy`, `invalid`, `unsupported`
 */
export async function deleteFile(path: string): Promise<void> {
  const folder = await parentFolder(path, false);
  await withLock('opfs', normalPath(path), false, async () => {
    try {
      await folder.removeEntry(splitPath(path).file);
    } catch (error) {
      throw fromException(error, { driver: 'opfs', filename: path });
    }
  });
}

/**
 * Gives a file that nobody has open another path; folders are made where they are missing.
 *
 * @throws BlockError `exists` when there is a file of the new name, `not-found`, `busy`, `invalid`, `unsupported`
 */
export async function renameFile(from: string, to: string): Promise<void> {
  const handle = await fileHandle(from, false);
  if (handle.move === undefined) {
    throw new BlockError('unsupported', 'This browser cannot rename files: copy the disk and delete the old one', {
      driver: 'opfs',
      filename: from,
    });
  }
  await withLock('opfs', normalPath(from), false, () =>
    withLock('opfs', normalPath(to), false, () => moveTo(handle, from, to)),
  );
}

async function moveTo(handle: FileSystemFileHandle, from: string, to: string): Promise<void> {
  const folder = await parentFolder(to, true);
  if (await hasFile(folder, to)) {
    throw new BlockError('exists', `There is a file of that name already: choose another name, or delete it first`, {
      driver: 'opfs',
      filename: to,
    });
  }
  try {
    await handle.move!(folder, splitPath(to).file);
  } catch (error) {
    throw fromException(error, { driver: 'opfs', filename: from });
  }
}

async function collect(folder: FileSystemDirectoryHandle, prefix: string, found: StoredFile[]): Promise<void> {
  for await (const entry of folder.values()) {
    const path = `${prefix}${entry.name}`;
    if (entry.kind === 'directory') {
      await collect(entry, `${path}/`, found);
    } else {
      const { size, lastModified } = await entry.getFile();
      found.push({ path, size, lastModifiedMs: lastModified });
    }
  }
}

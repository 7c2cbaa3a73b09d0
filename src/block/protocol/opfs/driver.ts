import type { OpenFlags, ProtocolDriver, Storage } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import type { OptionSchema } from '../../options.ts';
import { noSpaceError } from '../shared/errors.ts';
import { fromException } from '../shared/exceptions.ts';
import { siblingPath } from '../shared/paths.ts';
import { fileHandle, hasFile, hasSyncHandles, normalPath, parentFolder, splitPath } from '../shared/private-files.ts';
import { takeLock, withLock } from '../shared/web-lock.ts';
import { deleteFile } from './folder.ts';
import { FULL_HINT, OpfsStorage } from './storage.ts';

const PREFIX = 'opfs:';

const schema = {
  path: { type: 'string', required: true, help: "Path in the browser's file system, such as 'disks/mine.qcow2'" },
} as const satisfies OptionSchema;

/** Files of the browser's origin private file system. Opens them in dedicated workers only: nowhere else has sync handles. */
export const opfsProtocol: ProtocolDriver<typeof schema> = {
  kind: 'protocol',
  name: 'opfs',
  options: schema,
  isAvailable: hasSyncHandles,
  parseFilename: (filename) =>
    filename.startsWith(PREFIX) ? { driver: 'opfs', path: filename.slice(PREFIX.length) } : undefined,
  filename: ({ path }) => `${PREFIX}${path}`,
  resolve: ({ path }, reference) => ({ driver: 'opfs', path: siblingPath(path, reference) }),
  open: ({ path }, flags) => openFileStorage(path, flags),
  create: ({ path }, size) => createFile(path, size),
  delete: ({ path }) => deleteFile(path),
};

function refuseUnavailable(path: string): void {
  if (hasSyncHandles()) return;
  const message =
    'Files of the browser open only in a dedicated worker of a secure page (https or localhost): connect to the worker and open it there';
  throw new BlockError('unsupported', message, { driver: 'opfs', filename: path });
}

async function openFileStorage(path: string, { readOnly }: OpenFlags): Promise<Storage> {
  refuseUnavailable(path);
  const file = await fileHandle(path, false);
  const lock = await takeLock('opfs', normalPath(path), readOnly);
  try {
    const { lastModified } = await file.getFile();
    const handle = await file.createSyncAccessHandle({ mode: readOnly ? 'read-only' : 'readwrite' });
    return new OpfsStorage({ filename: path, handle, lock, readOnly, lastModifiedMs: lastModified });
  } catch (error) {
    await lock.release();
    throw fromException(error, { driver: 'opfs', filename: path });
  }
}

async function createFile(path: string, size: number): Promise<void> {
  refuseUnavailable(path);
  await withLock('opfs', normalPath(path), false, async () => {
    const folder = await parentFolder(path, true);
    const isNew = !(await hasFile(folder, path));
    const file = await fileHandle(path, true);
    try {
      await setEmptySize(file, path, size);
    } catch (error) {
      if (isNew) await folder.removeEntry(splitPath(path).file);
      throw fromException(error, { driver: 'opfs', filename: path, op: 'create', length: size });
    }
  });
}

async function setEmptySize(file: FileSystemFileHandle, path: string, size: number): Promise<void> {
  const handle = await file.createSyncAccessHandle({ mode: 'readwrite' });
  try {
    handle.truncate(0);
    handle.truncate(size);
    if (handle.getSize() !== size)
      throw noSpaceError({ driver: 'opfs', filename: path, op: 'create' }, undefined, FULL_HINT);
    handle.flush();
  } finally {
    handle.close();
  }
}

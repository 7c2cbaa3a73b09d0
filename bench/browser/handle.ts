import { pattern } from '../fill.ts';

/** The browser's own handle of a file, without anything of ours between: the limit. */
export async function openHandle(path: string): Promise<FileSystemSyncAccessHandle> {
  const parts = path.split('/');
  let folder = await navigator.storage.getDirectory();
  for (const name of parts.slice(0, -1)) folder = await folder.getDirectoryHandle(name, { create: true });
  const file = await folder.getFileHandle(parts.at(-1)!, { create: true });
  return file.createSyncAccessHandle();
}

/** The same, of a file that is filled with data and flushed. */
export async function openFilledHandle(path: string, size: number): Promise<FileSystemSyncAccessHandle> {
  const handle = await openHandle(path);
  const data = pattern(2 ** 20);
  for (let at = 0; at < size; at += data.length) handle.write(data, { at });
  handle.flush();
  return handle;
}

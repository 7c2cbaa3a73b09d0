import { pattern } from '../fill.ts';

/** A file of the browser, without anything of ours between: the limit. Filled with data and flushed. */
export async function bareHandle(path: string, size: number): Promise<FileSystemSyncAccessHandle> {
  const parts = path.split('/');
  let folder = await navigator.storage.getDirectory();
  for (const name of parts.slice(0, -1)) folder = await folder.getDirectoryHandle(name, { create: true });
  const file = await folder.getFileHandle(parts.at(-1)!, { create: true });
  const handle = await file.createSyncAccessHandle();
  const data = pattern(2 ** 20);
  for (let at = 0; at < size; at += data.length) handle.write(data, { at });
  handle.flush();
  return handle;
}

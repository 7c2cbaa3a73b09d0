/** Folders of the file system, for vvfat. */
import type * as nodeFiles from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { BlockError } from '../block/error.ts';
import { fileChanged, MAX_DEPTH, MAX_ENTRIES, type Folder, type FolderFile } from '../block/protocol/vvfat/index.ts';

/** Loaded when a folder is shown: it takes a tenth of what most commands take. */
const loadFiles = (): typeof nodeFiles => createRequire(import.meta.url)('node:fs/promises') as typeof nodeFiles;

/**
 * Looks through a folder and all below it. Symbolic links are followed where they lead to files; what is neither file nor folder is
 * left out.
 *
 * @throws BlockError `not-found` when it is no folder, `unsupported` for more files than can be shown, `io`
 */
export async function readFolder(dir: string): Promise<Folder> {
  const { readdir, stat } = loadFiles();
  let count = 0;
  const visit = async (path: string, name: string, depth: number): Promise<Folder> => {
    if (depth > MAX_DEPTH) throw new BlockError('unsupported', `Folders are more than ${MAX_DEPTH} deep, at '${path}'`);
    const folders: Folder[] = [];
    const files: FolderFile[] = [];
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (++count > MAX_ENTRIES) throw new BlockError('unsupported', `The folder has more than ${MAX_ENTRIES} files`);
      const inner = join(path, entry.name);
      if (entry.isDirectory()) folders.push(await visit(inner, entry.name, depth + 1));
      else {
        const facts = await stat(inner);
        if (facts.isFile()) files.push(fileAt(inner, entry.name, facts.size, facts.mtimeMs));
      }
    }
    return { name, modifiedMs: (await stat(path)).mtimeMs, folders, files };
  };
  try {
    return await visit(dir, '', 0);
  } catch (error) {
    if (error instanceof BlockError) throw error;
    throw failed(error, dir);
  }
}

/** The file is opened for each read: a folder may have more files than a process may have open. */
function fileAt(path: string, name: string, size: number, modifiedMs: number): FolderFile {
  return {
    name,
    size,
    modifiedMs,
    async read(offset, buffer) {
      try {
        const handle = await loadFiles().open(path, 'r');
        try {
          for (let done = 0; done < buffer.length;) {
            const { bytesRead } = await handle.read(buffer, done, buffer.length - done, offset + done);
            if (bytesRead === 0) throw fileChanged(name, offset);
            done += bytesRead;
          }
        } finally {
          await handle.close();
        }
      } catch (error) {
        throw error instanceof BlockError ? error : failed(error, path);
      }
    },
  };
}

function failed(cause: unknown, filename: string): BlockError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const missing = code === 'ENOENT' || code === 'ENOTDIR';
  const message = cause instanceof Error ? cause.message : String(cause);
  return new BlockError(
    missing ? 'not-found' : 'io',
    `The folder cannot be read: ${message}`,
    { driver: 'vvfat', filename },
    { cause },
  );
}

/** A folder made of files with paths, as a page gets them. */
import { BlockError } from '../../error.ts';
import { exceptionName, invalidOption, messageOf } from '../shared/errors.ts';
import { MAX_ENTRIES, type Folder, type FolderFile } from './folder.ts';

/** A file of a dropped folder. @see VVFAT option `files` */
export interface DroppedFile {
  /** With `/` between folders; one that ends in `/` is an empty folder. */
  readonly path: string;
  readonly blob?: Blob;
}

class MutableFolder implements Folder {
  readonly name: string;
  readonly files: FolderFile[] = [];
  readonly #folders = new Map<string, MutableFolder>();
  modifiedMs = 0;

  constructor(name: string) {
    this.name = name;
  }

  get folders(): readonly MutableFolder[] {
    return [...this.#folders.values()];
  }

  inner(name: string): MutableFolder {
    const known = this.#folders.get(name);
    if (known !== undefined) return known;
    const made = new MutableFolder(name);
    this.#folders.set(name, made);
    return made;
  }
}

/** @throws BlockError `invalid` for what is no such array */
export function folderOfFiles(files: unknown): Folder {
  const wanted = 'an array of { path, blob }';
  if (!Array.isArray(files)) throw invalidOption('vvfat', 'files', wanted);
  if (files.length > MAX_ENTRIES) throw new BlockError('unsupported', `The folder has more than ${MAX_ENTRIES} files`);
  const root = new MutableFolder('');
  for (const file of files as readonly Partial<DroppedFile>[]) {
    if (typeof file?.path !== 'string') throw invalidOption('vvfat', 'files', wanted);
    const parts = file.path.split('/');
    const name = parts.pop()!;
    let folder = root;
    for (const part of parts) {
      if (part === '' || part === '.' || part === '..') continue;
      folder = folder.inner(part);
    }
    if (name === '') continue;
    if (!(file.blob instanceof Blob)) throw invalidOption('vvfat', 'files', wanted);
    const blobFile = fileOfBlob(name, file.blob);
    folder.files.push(blobFile);
    folder.modifiedMs = Math.max(folder.modifiedMs, blobFile.modifiedMs);
  }
  return root;
}

function fileOfBlob(name: string, blob: Blob): FolderFile {
  const modifiedMs = 'lastModified' in blob && typeof blob.lastModified === 'number' ? blob.lastModified : 0;
  return {
    name,
    size: blob.size,
    modifiedMs,
    async read(offset, buffer) {
      let bytes: Uint8Array;
      try {
        bytes = new Uint8Array(await blob.slice(offset, offset + buffer.length).arrayBuffer());
      } catch (cause) {
        const changed = ['NotReadableError', 'NotFoundError'].includes(exceptionName(cause));
        throw new BlockError(
          changed ? 'base-changed' : 'io',
          `'${name}' in the folder cannot be read${changed ? ': it was changed, moved or deleted' : `: ${messageOf(cause)}`}`,
          { driver: 'vvfat', offset },
          { cause },
        );
      }
      if (bytes.length !== buffer.length) throw fileChanged(name, offset);
      buffer.set(bytes);
    },
  };
}

/** A file that is shorter than it was. */
export function fileChanged(name: string, offset: number): BlockError {
  return new BlockError(
    'base-changed',
    `'${name}' in the folder became shorter since the disk was opened: open it again`,
    {
      driver: 'vvfat',
      offset,
    },
  );
}

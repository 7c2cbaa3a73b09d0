/**
 * Folders that a person dropped or chose: all their files with their paths, to be shown as a FAT disk. Only names, sizes and times are
 * read here; what is in the files is read when a guest reads it. Empty folders are left out, because a chooser does not tell of them:
 * a folder that was dropped once and is chosen the next time must be the same disk.
 */
import type { DroppedFile } from '../../client/index.ts';
import { BlockError } from '../../block/error.ts';
import { count } from '../parts/text.ts';

/** What the block layer takes; looking further would be in vain. */
const MAX_ENTRIES = 200_000;
const MAX_DEPTH = 64;

/** Files that cannot be read are told by name up to here; more are counted. */
const MAX_TOLD = 10;

export interface GivenFolder {
  readonly name: string;
  readonly files: readonly DroppedFile[];
  readonly fileCount: number;
  readonly folderCount: number;
  /** Of all files. */
  readonly bytes: number;
  /** They are not on the disk. */
  readonly unreadable: UnreadableFiles;
}

export interface UnreadableFiles {
  readonly count: number;
  /** Of the first ones. */
  readonly paths: readonly string[];
}

/**
 * Walks through what was dropped. A folder alone is the disk's top folder; what was dropped beside others lies in it.
 *
 * @param onProgress is told how many files were found
 * @throws BlockError `aborted`; `unsupported` for more than a disk can show; `invalid` when there are no files
 */
export async function readFolder(
  entries: readonly FileSystemEntry[],
  signal: AbortSignal,
  onProgress: (files: number) => void,
): Promise<GivenFolder> {
  const [first, ...others] = entries;
  const isAlone = first !== undefined && others.length === 0 && isFolder(first);
  const walk = new FolderWalk(signal, onProgress);
  if (isAlone) await walk.enter(first, '', 1);
  else await walk.take(entries, '', 1);
  return walk.found.folder(isAlone ? first.name : nameOfSeveral(entries));
}

/** What a folder chooser gives: files that know their paths from the folder on. @throws BlockError `unsupported`, `invalid` */
export function folderOfChosen(files: readonly File[]): GivenFolder {
  const found = new FoundFiles();
  let name = '';
  for (const file of files) {
    const [top, ...path] = file.webkitRelativePath.split('/');
    name = top ?? '';
    found.addFile(path.join('/'), file);
  }
  return found.folder(name === '' ? 'folder' : name);
}

/** `12 files in 3 folders, 4 MiB` without the size. */
export function folderWords({ fileCount, folderCount }: GivenFolder): string {
  const files = `${count(fileCount)} ${fileCount === 1 ? 'file' : 'files'}`;
  if (folderCount === 0) return files;
  return `${files} in ${count(folderCount)} ${folderCount === 1 ? 'folder' : 'folders'}`;
}

const IMAGE_NAME = /\.(qcow2?|img|raw|vmdk|vdi|vhdx?|vpc|qed|iso|dmg|hdd|hds)$/i;
/** Extents of a VMDK: their descriptor leads to them. */
const PART_NAME = /-(s\d{3}|f\d{3}|flat|delta|ctk)\.vmdk$/i;

export interface FileInside {
  readonly path: string;
  readonly file: File;
}

/** Files that are disk images by their names. */
export function imagesIn(folder: GivenFolder): FileInside[] {
  return filesOf(folder).filter(({ file: { name } }) => IMAGE_NAME.test(name) && !PART_NAME.test(name));
}

/** All files, those in the same folder as this path last: of several with the same name they are the ones that an image there means. */
export function filesAround(folder: GivenFolder, path: string): File[] {
  const files = filesOf(folder);
  const isBeside = (other: FileInside): boolean => parentOf(other.path) === parentOf(path);
  return [...files.filter((each) => !isBeside(each)), ...files.filter(isBeside)].map(({ file }) => file);
}

function filesOf({ files }: GivenFolder): FileInside[] {
  return files.flatMap(({ path, blob }) => (blob instanceof File ? [{ path, file: blob }] : []));
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

class FolderWalk {
  readonly found = new FoundFiles();
  readonly #signal: AbortSignal;
  readonly #onProgress: (files: number) => void;

  constructor(signal: AbortSignal, onProgress: (files: number) => void) {
    this.#signal = signal;
    this.#onProgress = onProgress;
  }

  async enter(folder: FileSystemDirectoryEntry, path: string, depth: number): Promise<void> {
    if (depth > MAX_DEPTH) throw tooMuch(`Folders are more than ${MAX_DEPTH} deep, at '${path}'`);
    this.found.countEntry();
    const reader = folder.createReader();
    // A reader gives some at a time, and none at the end.
    for (let batch = await this.#next(reader, path); batch.length > 0; batch = await this.#next(reader, path)) {
      await this.take(batch, path, depth);
    }
  }

  async take(entries: readonly FileSystemEntry[], path: string, depth: number): Promise<void> {
    if (this.#signal.aborted) throw new BlockError('aborted', 'Reading the folder was stopped');
    await Promise.all(entries.filter(isFile).map((entry) => this.#takeFile(entry, join(path, entry.name))));
    this.#onProgress(this.found.fileCount);
    for (const entry of entries.filter(isFolder)) await this.enter(entry, join(path, entry.name), depth + 1);
  }

  async #next(reader: FileSystemDirectoryReader, path: string): Promise<readonly FileSystemEntry[]> {
    try {
      return await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    } catch (error) {
      this.found.addUnreadable(`${path}/`, error);
      return [];
    }
  }

  async #takeFile(entry: FileSystemFileEntry, path: string): Promise<void> {
    let file: File;
    try {
      file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    } catch (error) {
      this.found.addUnreadable(path, error);
      return;
    }
    this.found.addFile(path, file);
  }
}

class FoundFiles {
  readonly #files: DroppedFile[] = [];
  readonly #folders = new Set<string>();
  readonly #unreadable: string[] = [];
  #unreadableCount = 0;
  #entries = 0;
  #bytes = 0;

  addFile(path: string, file: File): void {
    this.countEntry();
    this.#files.push({ path, blob: file });
    this.#bytes += file.size;
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      this.#folders.add(path.slice(0, end));
    }
  }

  get fileCount(): number {
    return this.#files.length;
  }

  /** A file or a folder was seen. */
  countEntry(): void {
    this.#entries++;
    if (this.#entries > MAX_ENTRIES) throw tooMuch(`There are more than ${count(MAX_ENTRIES)} files and folders`);
  }

  /** @throws what is not the browser's word about a file */
  addUnreadable(path: string, error: unknown): void {
    if (!(error instanceof DOMException)) throw error;
    this.#unreadableCount++;
    if (this.#unreadable.length < MAX_TOLD) this.#unreadable.push(path);
  }

  folder(name: string): GivenFolder {
    if (this.fileCount === 0) {
      const why = this.#unreadableCount === 0 ? 'There are no files in it' : 'None of its files can be read';
      throw new BlockError('invalid', `${why}: there is nothing to show`, { filename: name });
    }
    return {
      name,
      files: this.#files,
      fileCount: this.fileCount,
      folderCount: this.#folders.size,
      bytes: this.#bytes,
      unreadable: { count: this.#unreadableCount, paths: this.#unreadable },
    };
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`;
}

function nameOfSeveral(entries: readonly FileSystemEntry[]): string {
  const [first, ...others] = entries.map(({ name }) => name);
  if (first === undefined) return 'folder';
  return others.length === 0 ? first : `${first} and ${others.length} more`;
}

function tooMuch(what: string): BlockError {
  return new BlockError('unsupported', `${what}: such a folder cannot be shown as a disk. Choose a folder inside it`);
}

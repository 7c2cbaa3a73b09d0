/** Folders as FAT has them: entries with names and places. Every folder and file gets clusters one behind the other. */
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { MAX_DEPTH, MAX_ENTRIES, type Folder, type FolderFile } from './folder.ts';
import { ENTRY_BYTES, type Geometry, type Needed } from './geometry.ts';
import { ROOT_CLUSTER } from './boot.ts';
import { FolderNames, longEntries, type FatName } from './names.ts';

const MAX_FILE_BYTES = 2 ** 32 - 1;
/** Entries of one folder, which is FAT's own limit. */
const MAX_FOLDER_ENTRIES = 65_536;
const ATTRIBUTE_LABEL = 0x08;
const ATTRIBUTE_FOLDER = 0x10;
const ATTRIBUTE_ARCHIVE = 0x20;

interface NamedFile {
  readonly file: FolderFile;
  readonly name: FatName;
}

export interface NamedFolder {
  readonly name: FatName | undefined;
  readonly modifiedMs: number;
  readonly folders: readonly NamedFolder[];
  readonly files: readonly NamedFile[];
  /** Entries, all parts of long names counted, with what else the folder has. */
  readonly entries: number;
}

/** @throws BlockError `unsupported` for more than can be shown, naming the file or folder */
export function nameTree(folder: Folder): NamedFolder {
  let count = 0;
  const visit = (each: Folder, name: FatName | undefined, depth: number): NamedFolder => {
    if (depth > MAX_DEPTH) throw tooMuch(`Folders are more than ${MAX_DEPTH} deep, at '${each.name}'`);
    count += each.folders.length + each.files.length;
    if (count > MAX_ENTRIES) throw tooMuch(`The folder has more than ${MAX_ENTRIES} files`);
    const names = new FolderNames();
    const folders = sorted(each.folders).map((inner) => visit(inner, names.give(inner.name), depth + 1));
    const files = sorted(each.files).map((file) => {
      if (file.size > MAX_FILE_BYTES)
        throw tooMuch(`'${file.name}' has ${file.size} bytes; FAT has files of less than 4 GiB`);
      return { file, name: names.give(file.name) };
    });
    const given = [...folders, ...files].map((item) => 1 + longEntries(item.name!).length / ENTRY_BYTES);
    // The label of the volume in the top folder; itself and the folder above in others.
    const entries = given.reduce((sum, part) => sum + part, name === undefined ? 1 : 2);
    if (entries > MAX_FOLDER_ENTRIES) throw tooMuch(`'${each.name}' has more files than a FAT folder can have`);
    return { name, modifiedMs: each.modifiedMs, folders, files, entries };
  };
  return visit(folder, undefined, 0);
}

function sorted<Item extends { readonly name: string }>(items: readonly Item[]): Item[] {
  return items.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function tooMuch(what: string): BlockError {
  return new BlockError('unsupported', `${what}: it cannot be shown as a disk`, { driver: 'vvfat' });
}

export function neededFor(root: NamedFolder): Needed {
  const clusters = (clusterSectors: number): number => {
    const clusterBytes = clusterSectors * SECTOR_SIZE;
    const visit = ({ folders, files, entries }: NamedFolder): number =>
      Math.ceil((entries * ENTRY_BYTES) / clusterBytes) +
      files.reduce((sum, { file }) => sum + Math.ceil(file.size / clusterBytes), 0) +
      folders.reduce((sum, folder) => sum + visit(folder), 0);
    return visit(root);
  };
  return { clusters, rootEntries: root.entries };
}

/** Names, sizes and times of everything, as text: two folders with the same text are the same disk as far as can be told. */
export function describeTree(root: NamedFolder): string {
  const visit = ({ folders, files }: NamedFolder): unknown[] => [
    ...folders.map((folder) => [...wordsOf(folder.name!), visit(folder)]),
    ...files.map(({ name, file: { size, modifiedMs } }) => [...wordsOf(name), size, modifiedMs]),
  ];
  const wordsOf = ({ short, long }: FatName): unknown[] => [String.fromCharCode(...short), long];
  return JSON.stringify(visit(root));
}

/** Clusters that follow one another, and what is in them. */
export interface Run {
  readonly first: number;
  readonly count: number;
  readonly content: Uint8Array | FolderFile;
}

export interface PlacedTree {
  /** The top folder where it has a place of its own (FAT12 and FAT16). */
  readonly root: Uint8Array;
  /** By their first cluster. */
  readonly runs: readonly Run[];
  /** Clusters that hold something. */
  readonly used: number;
}

/** @param label eleven bytes */
export function placeTree(root: NamedFolder, geometry: Geometry, label: Uint8Array): PlacedTree {
  const clusterBytes = geometry.clusterSectors * SECTOR_SIZE;
  const runs: Run[] = [];
  let next = ROOT_CLUSTER;
  const place = (bytes: number, content: Run['content']): number => {
    const count = Math.ceil(bytes / clusterBytes);
    if (count === 0) return 0;
    const first = next;
    runs.push({ first, count, content });
    next += count;
    return first;
  };
  const visit = (folder: NamedFolder, parent: number): { first: number; bytes: Uint8Array } => {
    const isRoot = folder.name === undefined;
    const bytes = new Uint8Array(folder.entries * ENTRY_BYTES);
    const first = isRoot && geometry.fatType !== 32 ? 0 : place(bytes.length, bytes);
    const writer = new EntryWriter(bytes);
    if (isRoot) writer.put(label, ATTRIBUTE_LABEL, 0, 0, folder.modifiedMs);
    else {
      writer.put(dots(1), ATTRIBUTE_FOLDER, first, 0, folder.modifiedMs);
      writer.put(dots(2), ATTRIBUTE_FOLDER, parent, 0, folder.modifiedMs);
    }
    for (const inner of folder.folders) {
      // For entries that lead to it, the top folder is number 0.
      const placed = visit(inner, isRoot ? 0 : first);
      writer.putNamed(inner.name!, ATTRIBUTE_FOLDER, placed.first, 0, inner.modifiedMs);
    }
    for (const { file, name } of folder.files) {
      writer.putNamed(name, ATTRIBUTE_ARCHIVE, place(file.size, file), file.size, file.modifiedMs);
    }
    return { first, bytes };
  };
  const placed = visit(root, 0);
  return { root: geometry.fatType === 32 ? new Uint8Array() : placed.bytes, runs, used: next - ROOT_CLUSTER };
}

function dots(count: number): Uint8Array {
  return new TextEncoder().encode('.'.repeat(count).padEnd(11));
}

class EntryWriter {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  putNamed(name: FatName, attributes: number, cluster: number, size: number, modifiedMs: number): void {
    const long = longEntries(name);
    this.#bytes.set(long, this.#at);
    this.#at += long.length;
    this.put(name.short, attributes, cluster, size, modifiedMs);
  }

  put(short: Uint8Array, attributes: number, cluster: number, size: number, modifiedMs: number): void {
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, ENTRY_BYTES);
    const { date, time } = fatTime(modifiedMs);
    this.#bytes.set(short, this.#at);
    view.setUint8(11, attributes);
    view.setUint16(14, time, true);
    view.setUint16(16, date, true);
    view.setUint16(18, date, true);
    view.setUint16(20, cluster >>> 16, true);
    view.setUint16(22, time, true);
    view.setUint16(24, date, true);
    view.setUint16(26, cluster & 0xffff, true);
    view.setUint32(28, size, true);
    this.#at += ENTRY_BYTES;
  }
}

/** FAT's years are 1980 to 2107, its seconds every other one. In UTC: a folder's disk is the same everywhere. */
function fatTime(ms: number): { date: number; time: number } {
  const when = new Date(Number.isFinite(ms) ? ms : 0);
  const year = when.getUTCFullYear();
  if (!(year >= 1980 && year <= 2107)) return { date: 0x21, time: 0 };
  return {
    date: (year - 1980) * 512 + (when.getUTCMonth() + 1) * 32 + when.getUTCDate(),
    time: when.getUTCHours() * 2048 + when.getUTCMinutes() * 32 + (when.getUTCSeconds() >> 1),
  };
}

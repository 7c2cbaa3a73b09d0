/** What a packed file is, and what it says of its content. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { findXzStreams, type XzStream } from './xz.ts';
import { readZipEntries, type ZipEntry } from './zip.ts';

export type ArchiveKind = 'gzip' | 'xz' | 'zip';

/** A file in a zip file. */
export interface PackedEntry {
  /** As it stands there, folders included. */
  readonly name: string;
  /** Bytes that it becomes, as the zip file says. */
  readonly size: number;
}

export interface Archive {
  readonly kind: ArchiveKind;
  /** What the image in it is called, without folders. */
  readonly name: string;
  /** Bytes of the packed file. */
  readonly packedSize: number;
  /** Bytes of the image, where the file says so. It may lie. */
  readonly size: number | undefined;
  /** Of a zip file: all files in it. */
  readonly entries: readonly PackedEntry[];
}

export interface FoundArchive extends Archive {
  readonly entry: ZipEntry | undefined;
  /** Of an xz file. */
  readonly streams: readonly XzStream[] | undefined;
}

const MAGICS: readonly (readonly [ArchiveKind, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 8]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
  ['zip', [0x50, 0x4b, 3, 4]],
];
const MAGIC_BYTES = 6;

/**
 * Looks at a file.
 *
 * @param filename for the name of what is in it. @param wanted name of the file in a zip file; default: the largest
 * @returns undefined when it is none of gzip, xz and zip
 * @throws BlockError `corrupt`; `not-found` when a zip file has no file, or none of that name
 */
export function* findArchive(file: BlockChild, filename: string, wanted?: string): Co<FoundArchive | undefined> {
  const head = new Uint8Array(Math.min(MAGIC_BYTES, file.length));
  if (head.length > 0) yield* settle(file.read(0, head));
  const kind = MAGICS.find(([, magic]) => magic.every((byte, index) => head[index] === byte))?.[0];
  if (kind === undefined) return undefined;
  const base = baseName(filename);
  if (kind !== 'zip') {
    const name = base.replace(kind === 'gzip' ? /\.gz(ip)?$/i : /\.xz$/i, '');
    const streams = kind === 'xz' ? yield* findXzStreams(file) : undefined;
    const size = streams?.reduce((sum, stream) => sum + stream.size, 0);
    return { kind, name: name || base, packedSize: file.length, size, entries: [], entry: undefined, streams };
  }
  const entries = yield* readZipEntries(file);
  const entry = chooseEntry(entries, wanted);
  return {
    kind,
    name: baseName(entry.name),
    packedSize: file.length,
    size: entry.size,
    entries: entries.map(({ name, size }) => ({ name, size })),
    entry,
    streams: undefined,
  };
}

function chooseEntry(entries: readonly ZipEntry[], wanted: string | undefined): ZipEntry {
  const candidates = wanted === undefined ? entries : entries.filter(({ name }) => name === wanted);
  const largest = candidates.toSorted((a, b) => b.size - a.size)[0];
  if (largest !== undefined) return largest;
  throw new BlockError(
    'not-found',
    wanted === undefined ? 'The zip file has no files' : `The zip file has no file '${wanted}'`,
  );
}

/** A name in an archive is somebody else's word: only its last part is used, and never a name that means a folder. */
function baseName(path: string): string {
  const name = path.split(/[/\\:]/).findLast((part) => part !== '') ?? '';
  return name === '' || name === '.' || name === '..' ? 'image' : name;
}

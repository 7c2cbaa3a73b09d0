/** Where the bytes of an image come from, before anything is known of it. */
import type { ProtocolOptions } from '../../client/index.ts';
import { baseName } from '../parts/text.ts';
import type { GivenFolder } from './folder.ts';

export type Source = Place & {
  /** Further files that the image consists of (extents, a data file), by the names of the options that they are given with. */
  readonly parts?: Parts | undefined;
};

export type Parts = Readonly<Record<string, Source>>;

type Place =
  | { readonly kind: 'file'; readonly file: File }
  /** Shown as a FAT disk. */
  | { readonly kind: 'folder'; readonly folder: GivenFolder }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'opfs'; readonly path: string }
  | { readonly kind: 'indexeddb'; readonly name: string };

/** The name that people know it by, without folders. */
export function sourceName(source: Source): string {
  switch (source.kind) {
    case 'file':
      return source.file.name;
    case 'folder':
      return source.folder.name;
    case 'url':
      return baseName(source.url);
    case 'opfs':
      return baseName(source.path);
    case 'indexeddb':
      return baseName(source.name);
  }
}

/** What to call the file in a header that points to it. */
export function referenceName(source: Source): string {
  return source.kind === 'url' ? source.url : sourceName(source);
}

/** Options of the protocol node that reads it. */
export function protocolOptions(source: Source): ProtocolOptions {
  switch (source.kind) {
    case 'file':
      return { driver: 'blob', blob: source.file };
    case 'folder':
      return { driver: 'vvfat', files: source.folder.files };
    case 'url':
      return { driver: source.url.startsWith('https:') ? 'https' : 'http', url: source.url };
    case 'opfs':
      return { driver: 'opfs', path: source.path };
    case 'indexeddb':
      return { driver: 'indexeddb', name: source.name };
  }
}

/** Options for the parts of an image. */
export function partOptions({ parts = {} }: Source): Readonly<Record<string, ProtocolOptions>> {
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, protocolOptions(part)]));
}

/** What tells a source from all others, as text. */
export function sourceKey(source: Source): string {
  if (source.kind === 'file') {
    const { name, size, lastModified } = source.file;
    return JSON.stringify(['file', name, size, lastModified]);
  }
  if (source.kind === 'folder') {
    const { name, fileCount, bytes } = source.folder;
    return JSON.stringify(['folder', name, fileCount, bytes]);
  }
  return JSON.stringify(source.kind === 'url' ? ['url', source.url] : [source.kind, sourcePath(source)]);
}

function sourcePath(source: Source & { readonly kind: 'opfs' | 'indexeddb' }): string {
  return source.kind === 'opfs' ? source.path : source.name;
}

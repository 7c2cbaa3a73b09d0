/** The disks that this page keeps: what stands in the list, beside the overlays themselves. */
import { createStore, del, entries, get, set } from 'idb-keyval';
import type { BlockdevOptions, Spindle } from '../../client/index.ts';
import { layerOptions, type Chain, type Layer } from './chain.ts';
import type { Device } from './device.ts';
import { referenceName, protocolOptions, sourceName, type Source } from './source.ts';
import { BlockError } from '../../block/error.ts';
import { begin } from '../parts/begin.ts';

export type OverlayStorage = 'opfs' | 'indexeddb';

/** A layer below the overlay. Files and folders cannot be kept by a page: what they are called and their size are, to ask for them again. */
export interface StoredLayer extends StoredFile {
  readonly format: string;
  /** Further files that it consists of, by the names of their options. */
  readonly parts?: Readonly<Record<string, StoredFile>> | undefined;
}

export interface StoredFile {
  readonly name: string;
  readonly from:
    | { readonly kind: 'url'; readonly url: string }
    | { readonly kind: 'file'; readonly size: number }
    | { readonly kind: 'folder'; readonly fileCount: number; readonly bytes: number }
    | { readonly kind: 'opfs'; readonly path: string }
    | { readonly kind: 'indexeddb'; readonly name: string };
}

export interface StoredDisk {
  readonly id: string;
  readonly name: string;
  readonly storage: OverlayStorage;
  /** Virtual size in bytes. */
  readonly size: number;
  readonly device: Device;
  /** Bytes of memory that its machine has. */
  readonly memory: number;
  /** From the base that the overlay stands on downwards. */
  readonly layers: readonly StoredLayer[];
  /** ID of the disk that was its machine's second one. That may be gone. */
  readonly second?: string | undefined;
  readonly createdMs: number;
  readonly usedMs: number;
}

export class Library {
  readonly #spindle: Spindle;
  readonly #records = createStore('spindle-page', 'disks');

  constructor(spindle: Spindle) {
    this.#spindle = spindle;
  }

  /** The one that was used last comes first. */
  async list(): Promise<StoredDisk[]> {
    const all = await entries<string, StoredDisk>(this.#records);
    return all.map(([, record]) => record).toSorted((a, b) => b.usedMs - a.usedMs);
  }

  find(id: string): Promise<StoredDisk | undefined> {
    return get<StoredDisk>(id, this.#records);
  }

  /**
   * Makes an overlay over a chain and keeps it in the list.
   *
   * @throws BlockError when it cannot be made; then nothing stands in the list
   */
  async create(
    chain: Chain,
    wanted: Pick<StoredDisk, 'name' | 'storage' | 'device' | 'memory' | 'second'>,
  ): Promise<StoredDisk> {
    const top = chain.layers[0]!;
    const now = Date.now();
    const { name, storage, device, memory, second } = wanted;
    const record: StoredDisk = {
      ...{ name, storage, device, memory, second },
      id: crypto.randomUUID(),
      size: top.info['virtual-size'],
      layers: chain.layers.map(storedLayer),
      createdMs: now,
      usedMs: now,
    };
    await this.#createOverlay(record, top.source);
    begin(askToPersist());
    try {
      await this.#keep(record);
    } catch (cause) {
      await this.#spindle.delete(protocolOptions(overlaySource(record)));
      throw new BlockError('io', 'The list of your disks could not be written', {}, { cause });
    }
    return record;
  }

  /** Throws the overlay's content away; the base stays. */
  async startOver(record: StoredDisk): Promise<void> {
    await this.#deleteOverlay(record);
    await this.#createOverlay(record, undefined);
  }

  /** As `startOver`, over a base that is not the same any more. */
  async startOverOn(record: StoredDisk, chain: Chain): Promise<StoredDisk> {
    const top = chain.layers[0]!;
    const now: StoredDisk = { ...record, size: top.info['virtual-size'], layers: chain.layers.map(storedLayer) };
    await this.#deleteOverlay(record);
    await this.#createOverlay(now, top.source);
    await this.#keep(now);
    return now;
  }

  async remove(record: StoredDisk): Promise<void> {
    await this.#deleteOverlay(record);
    await del(record.id, this.#records);
  }

  /** Notes that a disk is used now. @param changed what is to be different from now on */
  async touch(
    record: StoredDisk,
    changed: Partial<Pick<StoredDisk, 'name' | 'device' | 'memory' | 'second'>> = {},
  ): Promise<StoredDisk> {
    const kept = { ...record, ...changed, usedMs: Date.now() };
    await this.#keep(kept);
    return kept;
  }

  #keep(record: StoredDisk): Promise<void> {
    return set(record.id, record, this.#records);
  }

  async #createOverlay(record: StoredDisk, base: Source | undefined): Promise<void> {
    const below = record.layers[0]!;
    await this.#spindle.create({
      driver: 'qcow2',
      file: protocolOptions(overlaySource(record)),
      size: record.size,
      backing_file: base === undefined ? storedName(below) : referenceName(base),
      backing_fmt: below.format,
    });
  }

  async #deleteOverlay(record: StoredDisk): Promise<void> {
    try {
      await this.#spindle.delete(protocolOptions(overlaySource(record)));
    } catch (error) {
      // Gone already, as when the browser's storage was cleared: then the list is all that is left of it.
      if (!(error instanceof BlockError && error.kind === 'not-found')) throw error;
    }
  }
}

/** What a machine wrote must not go when the browser tidies up. It may say no; then all is as before. */
async function askToPersist(): Promise<void> {
  try {
    await navigator.storage.persist();
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
  }
}

/** Where the overlay of a disk is. */
export function overlaySource(record: StoredDisk): Source {
  return record.storage === 'opfs'
    ? { kind: 'opfs', path: `disks/${record.id}.qcow2` }
    : { kind: 'indexeddb', name: `disks/${record.id}.qcow2` };
}

/** Whether it stands on a folder: then no machine starts from it. */
export function isFolderDisk({ layers }: StoredDisk): boolean {
  return layers[0]!.from.kind === 'folder';
}

/** Where a file is, if it can be opened without asking anybody. */
export function knownSource({ from }: StoredFile): Source | undefined {
  return from.kind === 'file' || from.kind === 'folder' ? undefined : from;
}

/** Whether this source is the one that is remembered, as far as can be told without reading it. */
export function isStored({ name, from }: StoredFile, source: Source): boolean {
  if (source.kind === 'file')
    return from.kind === 'file' && source.file.name === name && source.file.size === from.size;
  if (source.kind !== 'folder' || from.kind !== 'folder') return false;
  const { folder } = source;
  return folder.name === name && folder.fileCount === from.fileCount && folder.bytes === from.bytes;
}

/**
 * Options of a disk with all below it.
 *
 * @param sources of the layers, in their order
 * @param identity whether the base must be the one that the overlay was made on
 */
export function diskOptions(
  record: StoredDisk,
  sources: readonly Source[],
  identity: 'check' | 'update' = 'check',
): BlockdevOptions {
  const base = record.layers.reduceRight<BlockdevOptions | undefined>(
    (backing, layer, index) => layerOptions(layer.format, sources[index]!, backing),
    undefined,
  );
  const overlay = layerOptions('qcow2', overlaySource(record), base);
  return { ...overlay, 'backing-identity': identity };
}

function storedLayer(layer: Layer): StoredLayer {
  const { source, name, format } = layer;
  const parts = Object.entries(source.parts ?? {}).map(([option, part]) => [option, storedFile(part)] as const);
  return { name, format, from: placeOf(source), ...(parts.length > 0 && { parts: Object.fromEntries(parts) }) };
}

function storedFile(source: Source): StoredFile {
  return { name: sourceName(source), from: placeOf(source) };
}

function placeOf(source: Source): StoredFile['from'] {
  if (source.kind === 'file') return { kind: 'file', size: source.file.size };
  if (source.kind === 'folder') {
    const { fileCount, bytes } = source.folder;
    return { kind: 'folder', fileCount, bytes };
  }
  const { parts: _parts, ...place } = source;
  return place;
}

function storedName(layer: StoredLayer): string {
  return layer.from.kind === 'url' ? layer.from.url : layer.name;
}

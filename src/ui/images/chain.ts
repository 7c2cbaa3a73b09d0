/**
 * Puts a chain together: an image, the base that it names, that one's base … Nothing that an image names is opened unless the
 * person in front of the page gave that very file, or said yes to the address.
 */
import type { BlockdevOptions, FileAnswer, FileRequest, ImageInfo, ImageProbe, Spindle } from '../../client/index.ts';
import { BlockError } from '../../block/error.ts';
import { baseName } from '../parts/text.ts';
import { secretOptions, unlock } from './passphrases.ts';
import { partOptions, protocolOptions, sourceKey, sourceName, type Source } from './source.ts';

/** More layers than any chain that people make; the core has its own limit. */
const MAX_LAYERS = 200;
/** qcow2's option of that name. */
const DATA_FILE = 'data-file';

export interface Layer {
  readonly source: Source;
  readonly name: string;
  readonly format: string;
  /** Undefined where the format was told and not guessed. */
  readonly probe: ImageProbe | undefined;
  readonly info: ImageInfo;
}

/** A base that is named and was not given; or parts of an image, without which nothing of it can be read. */
export interface MissingFiles {
  readonly kind: 'base' | 'parts';
  /** At least one, a base alone. */
  readonly files: readonly MissingFile[];
  /** Of a base, where it is told. */
  readonly format: string | undefined;
  /** Name of the layer that names them. */
  readonly namedBy: string;
}

export interface MissingFile {
  /** As it stands in the header. */
  readonly reference: string;
  /** Where it would be, seen from an image that came from an address. */
  readonly url: string | undefined;
}

export interface Chain {
  /** From the top down; at least one. */
  readonly layers: readonly Layer[];
  readonly missing: MissingFiles | undefined;
}

/** The files that a person gave, and which of them stand for which names. */
export class FilePool {
  readonly #files = new Map<string, Source>();
  readonly #answers = new Map<string, Source>();

  add(source: Source): void {
    this.#files.set(sourceName(source).toLowerCase(), source);
  }

  /** This source is what the header means by `reference`. */
  answer(reference: string, source: Source): void {
    this.#answers.set(reference, source);
  }

  find(reference: string): Source | undefined {
    return this.#answers.get(reference) ?? this.#files.get(baseName(plainName(reference)).toLowerCase());
  }
}

/**
 * Looks at an image and at the bases it names, as far as they were given.
 *
 * @param format of the top image, where it is told
 * @throws BlockError when a layer cannot be read, or the chain goes round in a circle
 */
export async function resolveChain(spindle: Spindle, top: Source, pool: FilePool, format?: string): Promise<Chain> {
  const layers: Layer[] = [];
  for (let next: { source: Source; format: string | undefined } = { source: top, format }; ;) {
    const { layer, missing } = await lookAt(spindle, next.source, next.format, pool);
    layers.push(layer);
    if (missing.length > 0) {
      const files = missing.map((reference) => ({ reference, url: urlOf(reference, layer.source) }));
      return { layers, missing: { kind: 'parts', files, format: undefined, namedBy: layer.name } };
    }
    const reference = layer.info['backing-filename'];
    if (reference === undefined || reference === '') return { layers, missing: undefined };
    const baseFormat = layer.info['backing-filename-format'];
    const source = pool.find(reference);
    if (source === undefined) {
      const files = [{ reference, url: urlOf(reference, layer.source) }];
      return { layers, missing: { kind: 'base', files, format: baseFormat, namedBy: layer.name } };
    }
    refuseCircle(layers, source, reference);
    next = { source, format: baseFormat };
  }
}

/** Options of the whole chain, each base told and none left to what a header says. */
export function chainOptions(layers: readonly Layer[], missing: MissingFiles | undefined): BlockdevOptions {
  const bottom: BlockdevOptions | null | undefined = missing === undefined ? undefined : null;
  const options = layers.reduceRight<BlockdevOptions | null | undefined>(
    (backing, layer) => layerOptions(layer.format, layer.source, backing),
    bottom,
  );
  return options!;
}

/**
 * @param backing options of the base; `null` to leave out the one that is named; `undefined` where there is none
 */
export function layerOptions(
  format: string,
  source: Source,
  backing: BlockdevOptions | null | undefined,
): BlockdevOptions {
  const secret = secretOptions(format, source);
  const node = {
    driver: format,
    ...secret,
    file: protocolOptions(source),
    ...partOptions(source),
    ...(backing === undefined ? {} : { backing }),
  };
  // The format comes from a probe or a header; the worker says so if it has no driver of that name.
  return node as BlockdevOptions;
}

/** An image, and which of the files that it consists of were not given. */
interface LookedAt {
  readonly layer: Layer;
  readonly missing: readonly string[];
}

/** @param pool where the files are that the image consists of; undefined: the source knows them */
async function lookAt(
  spindle: Spindle,
  given: Source,
  format: string | undefined,
  pool: FilePool | undefined,
): Promise<LookedAt> {
  const probe = format === undefined ? await spindle.probe(protocolOptions(given)) : undefined;
  const known = format ?? probe!.format;
  const parts: Record<string, Source> = { ...given.parts };
  const missing = new Set<string>();
  const take = (option: string, reference: string): Source | undefined => {
    const part = pool?.find(reference);
    if (part === undefined) missing.add(reference);
    else parts[option] = part;
    return part;
  };
  const info = await inspect(spindle, inspected(known, given), ({ child, filename }) => {
    const part = take(child, filename);
    return part !== undefined && protocolOptions(part);
  });
  // A data file is not opened by a look, and info says what it is called.
  const dataFile = info['format-specific']?.data['data-file'];
  if (typeof dataFile === 'string' && parts[DATA_FILE] === undefined) take(DATA_FILE, dataFile);
  const source = Object.keys(parts).length === 0 ? given : { ...given, parts };
  // Who looks at an encrypted image wants to see its data sooner or later: a base's too.
  if (info.encrypted) {
    // No passphrase opens an image of which it is known that it cannot be opened.
    const problem = info['format-specific']?.data['problem'];
    if (typeof problem === 'string') throw new BlockError('unsupported', problem);
    await unlock(spindle, source, () => inspected(known, source));
  }
  return { layer: { source, name: sourceName(source), format: known, probe, info }, missing: [...missing] };
}

function inspected(format: string, source: Source): BlockdevOptions {
  return { ...layerOptions(format, source, undefined), 'read-only': true };
}

/** The image is closed again before it is opened with its passphrase: it may be in a place that is opened once only. */
async function inspect(
  spindle: Spindle,
  options: BlockdevOptions,
  allow: (request: FileRequest) => FileAnswer,
): Promise<ImageInfo> {
  await using disk = await spindle.open(options, { inspect: true, allow });
  return await disk.info();
}

function refuseCircle(layers: readonly Layer[], source: Source, reference: string): void {
  const circle = layers.some((layer) => isSame(layer.source, source));
  if (!circle && layers.length < MAX_LAYERS) return;
  throw new BlockError(
    'corrupt',
    circle
      ? `The chain of backing files goes round in a circle: '${reference}' stands above itself`
      : `The chain of backing files has more than ${MAX_LAYERS} images`,
    { filename: reference },
  );
}

function isSame(one: Source, other: Source): boolean {
  if (one.kind === 'file' && other.kind === 'file') return one.file === other.file;
  return sourceKey(one) === sourceKey(other);
}

/** The address that a name means seen from an image at an address. */
function urlOf(reference: string, from: Source): string | undefined {
  if (/^https?:\/\//i.test(reference)) return reference;
  if (from.kind !== 'url' || /^[a-z][a-z0-9+.-]*:/i.test(reference)) return undefined;
  return new URL(reference, from.url).href;
}

/** The file's own name inside QEMU's ways of writing names. */
function plainName(reference: string): string {
  if (!reference.startsWith('json:')) return reference;
  return /"(?:file\.)?filename"\s*:\s*"((?:[^"\\]|\\.)*)"/.exec(reference)?.[1] ?? reference;
}

/** Looks at layers whose order and formats are known: what names them does not matter. @throws BlockError as `resolveChain` */
export async function knownChain(
  spindle: Spindle,
  known: readonly { readonly source: Source; readonly format: string }[],
): Promise<Chain> {
  const layers: Layer[] = [];
  for (const { source, format } of known) layers.push((await lookAt(spindle, source, format, undefined)).layer);
  return { layers, missing: undefined };
}

/** Making a new image. */
import { settle, type Co } from '../co.ts';
import type { BlockdevOptions, FormatDriver, Progress, ProtocolDriver } from '../driver.ts';
import { BlockError, withContext } from '../error.ts';
import type { BlockGraph } from '../graph/graph.ts';
import type { Child } from '../graph/child.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';
import { childPermissions } from '../graph/permission.ts';
import { parseOptions } from '../options.ts';
import { findDriver, findFormat, findProtocol, parseFilename } from '../registry.ts';

/** `driver`, where to (`file`), and the format's create options by their qemu-img names (`-o`). */
export interface CreateImageOptions {
  readonly driver: string;
  readonly file?: BlockdevOptions | string;
  readonly size?: number | string;
  readonly [option: string]: unknown;
}

export interface CreateImageSettings {
  /** Write over a file that exists. Default: no. */
  readonly overwrite?: boolean;
  readonly progress?: Progress;
  /** The name that the image will go by, where its file is to be renamed when it is whole: other files are named after that one. */
  readonly filename?: string | undefined;
}

/** A file that was made. */
export interface CreatedFile {
  /** As the image names it; undefined: it is the image's own file. */
  readonly name: string | undefined;
  /** Options of a protocol node. */
  readonly file: BlockdevOptions;
}

/**
 * Makes an empty image, or with a protocol as `driver` an empty file.
 *
 * An image with a `backing_file` and no `size` gets the size of that file, which must then be one that can be opened here.
 *
 * @throws BlockError `invalid` for options that the driver does not take, `exists` unless `overwrite` is set, `busy`, and what the
 * storage reports; a file that was begun is deleted then
 */
export function* createImage(
  graph: BlockGraph,
  options: CreateImageOptions,
  settings: CreateImageSettings = {},
): Co<void> {
  yield* makeImage(graph, options, settings);
}

/** An image that was made, and all the files that were made for it. */
export interface MadeImage {
  /** The image's own file first. */
  readonly files: readonly CreatedFile[];
  /**
   * Deletes them, where their protocols can: of an image that came to nothing.
   *
   * @throws BlockError what the storage reports
   */
  delete(): Co<void>;
}

/** As `createImage`, for who may have to take it back. */
export function* makeImage(
  graph: BlockGraph,
  options: CreateImageOptions,
  settings: CreateImageSettings = {},
): Co<MadeImage> {
  const { driver: name, file, ...own } = options;
  const driver = findDriver(graph.drivers, name);
  switch (driver.kind) {
    case 'protocol':
      return yield* createFile(driver, own, settings);
    case 'format':
      return yield* createFormatted(graph, driver, file, own, settings);
    case 'filter':
      throw new BlockError('invalid', `'${name}' is a filter: there is nothing to create`);
  }
}

class MadeFiles implements MadeImage {
  readonly #places: readonly MadeFile[];

  constructor(places: readonly MadeFile[]) {
    this.#places = places;
  }

  get files(): readonly CreatedFile[] {
    return this.#places.map(({ name, protocol, options }) => ({ name, file: { ...options, driver: protocol.name } }));
  }

  *delete(): Co<void> {
    for (const { protocol, options } of this.#places) yield* settle(protocol.delete?.(options));
  }
}

function placeOf(graph: BlockGraph, file: BlockdevOptions | string): Place {
  const { driver: name, cache, ...own } = typeof file === 'string' ? parseFilename(graph.drivers, file) : file;
  const protocol = findProtocol(graph.drivers, name ?? graph.drivers.defaultProtocol);
  const options = parseOptions(protocol.options, own, `driver '${protocol.name}'`);
  return { protocol, options, ...(cache === undefined ? {} : { generic: { cache } }) };
}

function* createFile(
  driver: ProtocolDriver,
  options: Readonly<Record<string, unknown>>,
  settings: CreateImageSettings,
): Co<MadeImage> {
  const { size, ...own } = options;
  const parsed = parseOptions(driver.options, own, `driver '${driver.name}'`);
  const bytes = parseOptions(
    { size: { type: 'size', help: 'bytes', default: 0 } },
    { size },
    `driver '${driver.name}'`,
  ).size;
  yield* makeFile(driver, parsed, bytes, settings);
  return new MadeFiles([{ protocol: driver, options: parsed, name: undefined }]);
}

function* makeFile(
  driver: ProtocolDriver,
  options: Readonly<Record<string, unknown>>,
  size: number,
  settings: CreateImageSettings,
): Co<void> {
  const filename = driver.filename(options);
  if (driver.create === undefined) {
    throw new BlockError('unsupported', `The protocol '${driver.name}' cannot make files`, { filename });
  }
  if (settings.overwrite !== true && (yield* exists(driver, options))) {
    throw new BlockError('exists', `There is a file '${filename}' already; delete it first, or ask to write over it`, {
      filename,
    });
  }
  yield* settle(driver.create(options, size));
}

function* exists(driver: ProtocolDriver, options: Readonly<Record<string, unknown>>): Co<boolean> {
  try {
    const storage = yield* settle(driver.open(options, { readOnly: true }));
    yield* settle(storage.close());
    return true;
  } catch (error) {
    if (error instanceof BlockError && error.kind === 'not-found') return false;
    if (error instanceof BlockError && error.kind === 'busy') return true;
    throw error;
  }
}

function* createFormatted(
  graph: BlockGraph,
  driver: FormatDriver,
  file: BlockdevOptions | string | undefined,
  own: Readonly<Record<string, unknown>>,
  settings: CreateImageSettings,
): Co<MadeImage> {
  if (!driver.capabilities.create || driver.create === undefined) {
    throw new BlockError('unsupported', `Images of the format '${driver.name}' cannot be made, only read`);
  }
  if (file === undefined) throw new BlockError('invalid', "Option 'file' is missing: where the image is to be stored");
  const place = placeOf(graph, file);
  const { protocol, options: parsedFile } = place;
  const size = own['size'] ?? (yield* sizeOfBacking(graph, own));
  const options = parseOptions(driver.createOptions, { ...own, size }, `format '${driver.name}'`);

  const made: MadeFile[] = [];
  try {
    yield* makeFile(protocol, parsedFile, 0, settings);
    made.push({ ...place, name: undefined });
    yield* writeImage(graph, driver, place, options, settings, made);
  } catch (error) {
    // Half an image is worth nothing, and it was not there before.
    yield* new MadeFiles(made).delete();
    throw withContext(error, { op: 'create', driver: driver.name, filename: protocol.filename(parsedFile) });
  }
  return new MadeFiles(made);
}

/** A file, and how to come to it. */
interface Place {
  readonly protocol: ProtocolDriver;
  readonly options: Readonly<Record<string, unknown>>;
  /** What any node takes. */
  readonly generic?: Readonly<Record<string, unknown>>;
}

interface MadeFile extends Place {
  readonly name: string | undefined;
}

/** @param made gets every file that was made, to be deleted again if the rest fails */
function* writeImage(
  graph: BlockGraph,
  driver: FormatDriver,
  place: Place,
  options: Readonly<Record<string, unknown>>,
  settings: CreateImageSettings,
  made: MadeFile[],
): Co<void> {
  const opened: Child[] = [];
  const openPlace = function* (name: string, { protocol, options: file, generic }: Place): Co<Child> {
    const node = yield* settle(graph.add({ driver: protocol.name, ...generic, ...file }));
    const roles = ['data', 'metadata'] as const;
    const child = graph.attach(name, 'create', node, roles, childPermissions(new Set(roles), false));
    opened.push(child);
    return child;
  };
  const createBeside = function* (filename: string, size: number): Co<Child> {
    const beside = placeBeside(graph, place, filename);
    yield* makeFile(beside.protocol, beside.options, size, settings);
    made.push({ ...beside, name: filename });
    return yield* openPlace(`extent${made.length}`, beside);
  };
  try {
    const file = yield* openPlace('file', place);
    const context = {
      progress: settings.progress,
      filename: settings.filename,
      secret: (id: string) => graph.secrets.require(id),
      lineageOf: (filename: string, format: string) => lineageOf(graph, filename, format),
      createFile: createBeside,
    };
    yield* driver.create!(file, options, context);
  } finally {
    for (const child of opened) {
      graph.detach(child);
      yield* settle(graph.remove(child.nodeName));
    }
  }
}

/** Where a file is that an image will name: beside the image, unless the name says otherwise. */
function placeBeside(graph: BlockGraph, { protocol, options, generic }: Place, filename: string): Place {
  const named = protocol.resolve?.(options, filename) ?? parseFilename(graph.drivers, filename);
  const { driver, ...own } = named;
  const other = findProtocol(graph.drivers, driver ?? protocol.name);
  const parsed = parseOptions(other.options, own, `driver '${other.name}'`);
  return { protocol: other, options: parsed, ...(generic === undefined ? {} : { generic }) };
}

function* sizeOfBacking(graph: BlockGraph, own: Readonly<Record<string, unknown>>): Co<number | undefined> {
  const { backing_file: filename, backing_fmt: format } = own;
  if (typeof filename !== 'string') return undefined;
  const driver = typeof format === 'string' ? findFormat(graph.drivers, format).name : undefined;
  return yield* lookAtBacking(graph, filename, driver, ({ length }) => length);
}

function* lineageOf(graph: BlockGraph, filename: string, format: string): Co<string | undefined> {
  const driver = findFormat(graph.drivers, format).name;
  return yield* lookAtBacking(graph, filename, driver, (node) =>
    node instanceof ImageNode ? node.image.lineage?.own : undefined,
  );
}

/** The caller names the backing file in the options, so it may be opened to be looked at. */
function* lookAtBacking<T>(
  graph: BlockGraph,
  filename: string,
  driver: string | undefined,
  look: (node: BlockNode) => T,
): Co<T> {
  const options = parseFilename(graph.drivers, filename);
  const isNode = filename.startsWith('json:');
  const backing = yield* settle(
    graph.add(isNode ? options : { ...(driver !== undefined && { driver }), file: options, 'read-only': true }, {
      inspect: true,
    }),
  );
  try {
    return look(backing);
  } finally {
    yield* settle(graph.remove(backing.nodeName));
  }
}

/** What a command works with: a graph, a terminal, and how images are opened for the tools of the command line. */
import {
  BlockError,
  createNodeGraph,
  nestOptions,
  parseFilename,
  probeImage,
  startAsync,
  type BlockBackend,
  type BlockdevOptions,
} from '../../node/index.ts';
import type { BlockGraph, BlockNode, OpenPolicy, ReferenceRequest } from '../../node/index.ts';
import { cacheOptions, type CacheMode } from './cache-mode.ts';
import { Failure } from './failure.ts';
import { parseKeyValues } from './key-values.ts';
import { asPath, beside, protocolOf } from './paths.ts';
import { addObject } from './objects.ts';
import type { Terminal } from './terminal.ts';
import { withTestedFormat } from './probing.ts';
import { openMessage, strerror } from './words.ts';

/** An image as it is named on a command line. */
export interface ImageName {
  /** A path, a URL, `json:{…}`, or with `imageOpts` an option string. */
  readonly name: string;
  /** Without it, it is probed. */
  readonly format?: string | undefined;
  readonly imageOpts?: boolean | undefined;
}

export interface OpenSettings {
  readonly readOnly: boolean;
  readonly forceShare?: boolean | undefined;
  /** Opens nothing that the image names. */
  readonly inspect?: boolean;
  readonly check?: boolean;
  /** What is said of caches; what the image's own options say of them comes before it. Default: `writeback`. */
  readonly cache?: CacheMode | undefined;
  /** No warning that a format was guessed to be raw: it is not the image that was named. */
  readonly guessesSilently?: boolean;
  /** Leaves the backing file closed, or takes a node that is open for it. */
  readonly backing?: string | null;
  /** Further options of the node, and of its file. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly fileOptions?: Readonly<Record<string, unknown>>;
}

const rawWarning = (name: string) =>
  `WARNING: Image format was not specified for '${name}' and probing guessed raw.\n` +
  '         Automatically detecting the format is dangerous for raw images, write operations on block 0 will be restricted.\n' +
  "         Specify the 'raw' format explicitly to remove the restrictions.\n";

export class Session {
  readonly graph: BlockGraph;
  readonly terminal: Terminal;
  /** What messages begin with: `spindle-img`. */
  readonly program: string;
  readonly #open = new Set<BlockBackend>();
  readonly #nodes: BlockNode[] = [];

  constructor(program: string, terminal: Terminal, graph: BlockGraph = createNodeGraph()) {
    this.program = program;
    this.terminal = terminal;
    this.graph = graph;
  }

  out(text: string): void {
    this.terminal.out(text);
  }

  /** A message on stderr, with the program's name before it. */
  report(message: string): void {
    this.terminal.error(`${this.program}: ${message}\n`);
  }

  /** `--object secret,…` or `throttle-group,…`. @throws Failure */
  addObject(definition: string): void {
    addObject(this.graph, definition);
  }

  /**
   * Opens an image as QEMU's tools do: whatever it names is opened too, for these are its user's own files.
   *
   * @throws Failure `Could not open '…': …`
   */
  async open(image: ImageName, settings: OpenSettings): Promise<BlockBackend> {
    try {
      return await this.openImage(image, settings);
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure(`Could not open '${image.name}': ${openMessage(error)}`);
    }
  }

  /** As `open`, with errors as they come. @param change what is to be opened instead, such as a filter above the image */
  async openImage(
    image: ImageName,
    settings: OpenSettings,
    change: (options: BlockdevOptions) => BlockdevOptions | Promise<BlockdevOptions> = (options) => options,
  ): Promise<BlockBackend> {
    const options = await change(await this.#nodeOptions(image, settings));
    const backend = await this.graph.open(options, policy(settings));
    this.#open.add(backend);
    backend.writeCache = settings.cache?.writeThrough !== true;
    if (!settings.readOnly && backend.readOnly) throw new BlockError('permission', 'Block node is read-only');
    return backend;
  }

  /** Opens an image that others stand on: it is closed with the last of them. @throws Failure as `open` */
  async add(image: ImageName, settings: OpenSettings): Promise<BlockNode> {
    try {
      const node = await this.graph.add(await this.#nodeOptions(image, settings), policy(settings));
      this.#nodes.push(node);
      return node;
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure(`Could not open '${image.name}': ${openMessage(error)}`);
    }
  }

  /** The same for options of a node, with errors as they come; who stands on it closes it. @throws BlockError */
  addNode(options: BlockdevOptions): Promise<BlockNode> {
    return this.graph.add(options, policy({ readOnly: true }));
  }

  /** Closes an image, with everything written. @throws BlockError */
  async close(backend: BlockBackend): Promise<void> {
    this.#open.delete(backend);
    await this.graph.close(backend);
  }

  /** Closes what is still open when a command ends, after a failure: its own message has been printed. */
  async closeAll(): Promise<void> {
    for (const backend of [...this.#open].toReversed()) {
      this.#open.delete(backend);
      await this.graph.close(backend).catch((error: unknown) => {
        this.report(`Could not close an image: ${strerror(error)}`);
      });
    }
    for (const node of this.#nodes.splice(0).toReversed()) {
      if (!node.closed && node.parents.size === 0) await this.graph.remove(node.nodeName);
    }
  }

  /**
   * Options of a protocol node for a name, or of whatever `json:` describes.
   *
   * @throws BlockError `unsupported` for a colon before the first slash, which no path has here: QEMU would take it for a protocol
   */
  fileOptions(name: string): BlockdevOptions {
    const options = parseFilename(this.graph.drivers, name);
    if (options.driver !== 'file' || name.startsWith('json:')) return options;
    refuseProtocol(name);
    // What follows `file:` is a path, and shown as nothing else.
    return { ...options, filename: asPath(String(options['filename'])) };
  }

  async #nodeOptions(image: ImageName, settings: OpenSettings): Promise<BlockdevOptions> {
    const named = await withTestedFormat(this.givenOptions(image), async (filename) => {
      const file = this.fileOptions(filename);
      return { driver: (await startAsync(probeImage(this.graph, file))).format, file, probed: true };
    });
    const given = withFileOptions(named, settings.fileOptions);
    const generic = {
      ...settings.options,
      ...(settings.readOnly ? { 'read-only': true } : {}),
      ...(settings.forceShare === true ? { 'force-share': true } : {}),
      'backing-identity': 'format',
    };
    if (settings.forceShare === true && image.imageOpts === true && (given['force-share'] ?? 'on') !== 'on') {
      throw new Failure(`${this.program === 'spindle-io' ? '' : '--force-share/'}-U conflicts with image options`);
    }
    const own = given['cache'];
    const cache =
      own !== undefined && typeof own !== 'object'
        ? own
        : { ...(settings.cache && cacheOptions(settings.cache)), ...own };
    // Who opens it knows better than the options what it stands on.
    const backing = settings.backing === undefined ? {} : { backing: settings.backing };
    if (given.driver !== undefined) return { ...generic, ...given, ...backing, cache };
    const { file } = given as { file?: BlockdevOptions | string };
    if (file === undefined) throw new BlockError('invalid', 'Must specify either driver or file');
    // The name of a node: the graph looks for it.
    if (typeof file === 'string') return { ...generic, ...given, ...backing, cache };
    // A look at the first bytes is in nobody's way: whether the image is in use is for its opening to say.
    const { format, filename } = await startAsync(probeImage(this.graph, { cache, ...file, 'force-share': true }));
    const isFilter = this.graph.drivers.filters.some(({ name }) => name === file.driver);
    if (format === 'raw' && !settings.readOnly && settings.guessesSilently !== true)
      this.terminal.error(rawWarning(isFilter ? image.name : filename));
    return { ...generic, ...given, ...backing, cache, driver: format, probed: true };
  }

  /** What a name stands for: with a driver, or with `file` alone, whose format is then to be probed. @throws Failure */
  givenOptions({ name, format, imageOpts }: ImageName): BlockdevOptions {
    const driver = format === undefined ? {} : { driver: format };
    // In spindle-img a word that stands first, alone, is the name of a node.
    const first = this.program === 'spindle-io' ? undefined : 'file';
    if (imageOpts === true) return this.#imageOptions(nestOptions(parseKeyValues(name, first)));
    const options = this.fileOptions(name);
    if (!name.startsWith('json:')) return { ...driver, file: options };
    return { ...this.#imageOptions(options), ...driver };
  }

  /** The name of a file without a driver is a path, whatever it looks like; but nobody has a folder of the name `https:`. */
  #imageOptions(options: BlockdevOptions): BlockdevOptions {
    const { file } = options;
    if (typeof file !== 'object' || file === null) return options;
    const { driver, filename, ...rest } = file as BlockdevOptions;
    if (driver !== undefined || typeof filename !== 'string') return options;
    const named = /^https?:\/\//.test(filename) ? this.fileOptions(filename) : { driver: 'file', filename };
    return { ...options, file: { ...named, ...rest } };
  }
}

/** @throws BlockError `unsupported` for the name of a file that begins as a protocol's would */
function refuseProtocol(name: string, prefix = ''): void {
  const protocol = protocolOf(name);
  if (protocol === undefined || protocol === 'file') return;
  throw new BlockError('unsupported', `${prefix}Unknown protocol '${protocol}'`);
}

function withFileOptions(options: BlockdevOptions, more: OpenSettings['fileOptions']): BlockdevOptions {
  const { file } = options;
  if (more === undefined || typeof file !== 'object' || file === null) return options;
  return (file as BlockdevOptions).driver === 'file' ? { ...options, file: { ...more, ...file } } : options;
}

function policy(settings: OpenSettings): Partial<OpenPolicy> {
  return {
    references: besideImage,
    inspect: settings.inspect === true,
    check: settings.check === true,
  };
}

/** Names in an image are seen from its folder, and shown as QEMU shows them: put together as text. */
function besideImage({ filename, parentFilename, options, child }: ReferenceRequest): BlockdevOptions {
  const identity = child === 'backing' ? { 'backing-identity': 'format' } : {};
  const file = options['file'] as BlockdevOptions | undefined;
  if (filename.startsWith('json:')) return { ...options, ...identity };
  const own = file ?? options;
  if (own.driver !== 'file') return { ...options, ...identity };
  refuseProtocol(filename, child === 'backing' ? 'Could not open backing file: ' : '');
  const place = { ...own, filename: beside(parentFilename, filename.replace(/^file:/, '')) };
  return file === undefined ? place : { ...options, file: place, ...identity };
}

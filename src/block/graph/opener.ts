/** Opens nodes from options: the node's driver, its children, and what its image names, by the gate. */
import { portableCompression } from '../../codec/index.ts';
import { isPromise, settle, type Co } from '../co.ts';
import type {
  BlockdevOptions,
  ChildRole,
  FileReference,
  FilterDriver,
  FormatDriver,
  FormatImage,
  OpenFlags,
  ProtocolDriver,
} from '../driver.ts';
import { BlockError, withContext } from '../error.ts';
import { parseOptions } from '../options.ts';
import { probeFormats, readProbeInput } from '../probe.ts';
import { findDriver, findFormat, findProtocol, nestOptions, parseFilename } from '../registry.ts';
import type { BlockGraph } from './graph.ts';
import type { Child } from './child.ts';
import { FilterNode } from './filter-node.ts';
import { allocatedAbove, readSmallFile } from './filter-opener.ts';
import { passGate, type ReferencePolicy } from './gate.ts';
import { checkLineage, decodeIdentity, difference, encodeIdentity, fileOf, identityOf } from './identity.ts';
import { ImageNode } from './image-node.ts';
import type { BlockNode } from './node.ts';
import { cacheFlags, splitOptions, type CacheFlags, type GenericOptions, type SplitOptions } from './node-options.ts';
import { childPermissions } from './permission.ts';
import { ProbeGuard } from './probe-guard.ts';
import { StorageNode } from './storage-node.ts';

/** How a tree of nodes is opened. */
export interface OpenPolicy {
  /** What is said to files that images name. Default: no. */
  readonly references: ReferencePolicy;
  /** How many images may stand on one another. */
  readonly maxChainDepth: number;
  /** Open to look at or to check: see `OpenFlags`. */
  readonly inspect?: boolean;
  readonly check?: boolean;
  /** What is opened is the file of an image: nothing is probed. */
  readonly asFile?: boolean;
}

/** Where in a tree a node is opened. */
interface Position {
  /** The parent is read-only: so is this one. */
  readonly readOnly: boolean;
  readonly forceShare: boolean;
  /** What the parent says of caches, unless the node's own options do. */
  readonly cache: CacheFlags;
  /** What is opened is a file of an image: without a driver its name is that of a protocol, and nothing is probed. */
  readonly isFile: boolean;
  /** How many images stand above. */
  readonly depth: number;
  /** Files of the images above, to find a chain that bites its tail. */
  readonly above: readonly string[];
}

const TOP: Position = { readOnly: false, forceShare: false, cache: {}, isFile: false, depth: 0, above: [] };

export class NodeOpener {
  readonly #graph: BlockGraph;
  readonly #policy: OpenPolicy;
  /** What this tree has opened so far, to be closed again if the rest fails. */
  readonly #opened: BlockNode[] = [];
  /** Names of nodes that are not there yet. */
  readonly #names = new Set<string>();

  constructor(graph: BlockGraph, policy: OpenPolicy) {
    this.#graph = graph;
    this.#policy = policy;
  }

  /** Opens a tree. If anything fails, all that it opened is closed again. */
  *open(options: BlockdevOptions | string): Co<BlockNode> {
    try {
      return yield* this.#openNode(options, { ...TOP, isFile: this.#policy.asFile === true });
    } catch (error) {
      for (const node of this.#opened.toReversed()) yield* this.#graph.discardNode(node);
      for (const name of this.#names) this.#graph.releaseName(name);
      throw error;
    }
  }

  *#openNode(given: BlockdevOptions | string, position: Position): Co<BlockNode> {
    const options = this.#withDriver(given, position.isFile);
    if (position.depth > this.#policy.maxChainDepth) {
      throw new BlockError(
        'invalid',
        `More than ${this.#policy.maxChainDepth} images stand on one another; the limit can be raised where the disk is opened`,
      );
    }
    const split = splitOptions(options);
    if (split.generic.driver === undefined) return yield* this.#openProbed(split, position);
    const driver = findDriver(this.#graph.drivers, split.generic.driver);
    switch (driver.kind) {
      case 'protocol':
        return yield* this.#openProtocol(driver, split, position);
      case 'format':
        return yield* this.#openFormat(driver, split, position);
      case 'filter':
        return yield* this.#openFilter(driver, split, position);
    }
  }

  /** A name alone is a file whose format is found by probing, unless it is to be a file as it is. */
  #withDriver(given: BlockdevOptions | string, isFile: boolean): BlockdevOptions {
    if (typeof given !== 'string') {
      const options = nestOptions(given);
      const { filename, ...others } = options;
      if (options.driver !== undefined || typeof filename !== 'string') return options;
      return this.#named(filename, others, isFile);
    }
    return this.#named(given, {}, isFile);
  }

  /** @param others options that stand beside the name */
  #named(filename: string, others: BlockdevOptions, isFile: boolean): BlockdevOptions {
    const options = parseFilename(this.#graph.drivers, filename);
    return isFile || filename.startsWith('json:') ? { ...options, ...others } : { ...others, file: options };
  }

  *#openProbed({ generic, children, own }: SplitOptions, position: Position): Co<BlockNode> {
    if (generic['read-only'] === false) {
      throw new BlockError('invalid', "Pass 'driver': an image whose format is only guessed is not opened for writing");
    }
    const file = yield* this.#openFileChild(
      children['file'],
      { ...position, readOnly: true, isFile: true },
      'an image',
    );
    const probed = this.#graph.attach('file', 'probe', file, ['data'], childPermissions(new Set(['data']), true));
    let format: string;
    try {
      const input = yield* readProbeInput(probed, fileOf(file)?.filename ?? '');
      ({ format } = probeFormats(this.#graph.drivers.formats, input));
    } finally {
      this.#graph.detach(probed);
    }
    const driver = findFormat(this.#graph.drivers, format);
    return yield* this.#openFormat(
      driver,
      { generic: { ...generic, 'read-only': true }, children: { ...children, file: file.nodeName }, own },
      position,
    );
  }

  *#openProtocol(driver: ProtocolDriver, { generic, own }: SplitOptions, position: Position): Co<BlockNode> {
    if (!driver.isAvailable()) {
      throw new BlockError('unsupported', `The protocol '${driver.name}' is not available in this environment`);
    }
    const nodeName = this.#reserveName(generic['node-name']);
    const options = parseOptions(driver.options, own, `driver '${driver.name}'`);
    const filename = driver.filename(options);
    try {
      const flags = this.#flags(generic, position);
      const storage = yield* settle(driver.open(options, flags));
      if (generic['read-only'] === false && storage.readOnly) {
        yield* settle(storage.close());
        throw new BlockError('permission', `The protocol '${driver.name}' can only read`);
      }
      const length = yield* settle(storage.getLength());
      const node = new StorageNode(nodeName, driver, this.#graph.clock, storage, filename, length, flags);
      return this.#register(node);
    } catch (error) {
      throw withContext(error, { node: nodeName, driver: driver.name, op: 'open', filename });
    }
  }

  *#openFormat(driver: FormatDriver, split: SplitOptions, position: Position): Co<BlockNode> {
    const { generic, children, own } = split;
    if (children['file'] === undefined) throw missing('file', `driver '${driver.name}'`);
    const nodeName = this.#reserveName(generic['node-name']);
    const options = parseOptions(driver.openOptions, own, `driver '${driver.name}'`);
    const cache = cacheFlags(generic, position.cache);
    const wantsReadOnly = this.#flags(generic, position).readOnly || !driver.capabilities.write;
    const file = yield* this.#openFileChild(
      children['file'],
      { ...position, cache, readOnly: wantsReadOnly, forceShare: generic['force-share'], isFile: true },
      `driver '${driver.name}'`,
    );
    const readOnly = wantsReadOnly || file.readOnly;
    if (generic['read-only'] === false && readOnly) {
      throw new BlockError('permission', `'${nodeName}' cannot be opened for writing: its file is read-only`, {
        node: nodeName,
      });
    }
    const attached: Child[] = [
      this.#attach('file', nodeName, file, ['data', 'metadata'], readOnly, generic['force-share']),
    ];
    const above = [...position.above, fileKey(file)];
    const below: Position = {
      readOnly,
      forceShare: generic['force-share'],
      cache,
      isFile: true,
      depth: position.depth + 1,
      above,
    };
    try {
      const image = yield* driver.open({
        nodeName,
        file: attached[0]!,
        options,
        flags: { ...this.#flags(generic, position), readOnly },
        openReference: (name, reference, roles) =>
          this.#openReference(name, reference, roles, own, nodeName, file, below, attached),
        secret: (id) => this.#graph.secrets.require(id),
        compression: this.#graph.drivers.compression ?? portableCompression,
      });
      const guard = generic.probed && !readOnly ? this.#guardOf(driver, options, attached[0]!, file) : undefined;
      const node = new ImageNode(nodeName, driver, this.#graph.clock, image, { ...generic, readOnly, guard });
      for (const child of attached) node.children.set(child.name, child);
      this.#register(node);
      yield* this.#openBacking(node, image, children['backing'], generic, file, below);
      return node;
    } catch (error) {
      // A node that came to be takes its children along when it is discarded; before that they are let go here.
      if (!this.#opened.some((node) => node.nodeName === nodeName))
        attached.forEach((child) => this.#graph.detach(child));
      throw withContext(error, {
        node: nodeName,
        driver: driver.name,
        op: 'open',
        filename: fileOf(file)?.filename ?? '',
      });
    }
  }

  /** Only bytes that a guest may choose can look like a header; other formats' own headers are out of its reach. */
  #guardOf(
    driver: FormatDriver,
    { offset }: Readonly<Record<string, unknown>>,
    child: Child,
    file: BlockNode,
  ): ProbeGuard | undefined {
    if (driver.name !== 'raw') return undefined;
    const begin = typeof offset === 'number' ? offset : 0;
    return new ProbeGuard(this.#graph.drivers.formats, child, fileOf(file)?.filename ?? '', begin);
  }

  *#openFilter(driver: FilterDriver, split: SplitOptions, position: Position): Co<BlockNode> {
    const { generic } = split;
    const nodeName = this.#reserveName(generic['node-name']);
    const childName = driver.childName ?? 'file';
    const { [childName]: given, ...own } = { ...split.own, ...split.children };
    const options = parseOptions(driver.options, own, `driver '${driver.name}'`);
    const flags = this.#flags(generic, position);
    const cache = cacheFlags(generic, position.cache);
    const inside: Position = {
      ...position,
      cache,
      readOnly: flags.readOnly,
      forceShare: flags.forceShare === true,
    };
    const file = yield* this.#openFileChild(given, inside, `driver '${driver.name}'`, childName);
    const readOnly = flags.readOnly || file.readOnly;
    const child = this.#attach(childName, nodeName, file, ['filtered'], readOnly, inside.forceShare);
    const attached: Child[] = [child];
    try {
      const filter = yield* driver.open({
        nodeName,
        file: child,
        options,
        flags: { ...flags, readOnly },
        openReference: (name, reference, roles) => {
          const isFile = roles.includes('filtered') && position.isFile;
          return this.#openReference(name, reference, roles, own, nodeName, file, { ...inside, isFile }, attached);
        },
        secret: (id) => this.#graph.secrets.require(id),
        compression: this.#graph.drivers.compression ?? portableCompression,
        readFile: (filename, maxBytes) => readSmallFile(this.#graph, filename, maxBytes),
        object: (id) => this.#graph.objects.require(id),
        allocatedAbove: (offset, length, bottom) => allocatedAbove(child, offset, length, bottom),
      });
      const node = new FilterNode(nodeName, driver, this.#graph.clock, filter, child, readOnly);
      for (const edge of attached) node.children.set(edge.name, edge);
      return this.#register(node);
    } catch (error) {
      for (const edge of attached) this.#graph.detach(edge);
      // Without the node's name: no filter stands between an image and its backing file.
      throw withContext(error, { driver: driver.name, op: 'open' });
    }
  }

  /** `file`: options of a node, or the name of one that is open already. */
  *#openFileChild(given: unknown, position: Position, owner: string, name = 'file'): Co<BlockNode> {
    if (given === undefined) throw missing(name, owner);
    return yield* this.#openChild(name, given, position);
  }

  *#openChild(name: string, given: unknown, position: Position): Co<BlockNode> {
    if (typeof given === 'string') return this.#graph.require(given);
    if (typeof given === 'object' && given !== null) return yield* this.#openNode(given as BlockdevOptions, position);
    throw new BlockError('invalid', `Option '${name}' must be the name of an open node, or the options of one`);
  }

  *#openBacking(
    node: ImageNode,
    image: FormatImage,
    given: unknown,
    generic: GenericOptions,
    file: BlockNode,
    below: Position,
  ): Co<void> {
    if (given === null || this.#policy.inspect === true) return;
    if (given !== undefined && !node.driver.capabilities.backing) {
      throw new BlockError('invalid', `The format '${node.driver.name}' has no backing files`, { node: node.nodeName });
    }
    const reference = image.backing;
    if (given === undefined && reference === undefined) return;
    const position = { ...below, readOnly: true, isFile: false };
    const backing =
      given !== undefined
        ? yield* this.#openChild('backing', given, position)
        : yield* this.#openNamed('backing', reference!, node.nodeName, file, position);
    node.children.set('backing', this.#attach('backing', node.nodeName, backing, ['cow'], true, false));
    this.#graph.clock.generation++;
    yield* this.#checkIdentity(node, image, backing, generic['backing-identity']);
  }

  *#openReference(
    name: string,
    reference: FileReference | undefined,
    roles: readonly ChildRole[],
    own: Readonly<Record<string, unknown>>,
    nodeName: string,
    file: BlockNode,
    position: Position,
    attached: Child[],
  ): Co<Child> {
    const given = optionAt(own, name);
    if (given === undefined && reference === undefined) {
      throw new BlockError('invalid', `The image needs a '${name}' and names none: pass it in the options`, {
        node: nodeName,
      });
    }
    const node =
      given !== undefined
        ? yield* this.#openChild(name, given, position)
        : yield* this.#openNamed(name, reference!, nodeName, file, position);
    const child = this.#attach(name, nodeName, node, roles, position.readOnly, position.forceShare);
    attached.push(child);
    return child;
  }

  /** Opens a file that an image names, if the gate lets it pass. */
  *#openNamed(
    child: string,
    reference: FileReference,
    nodeName: string,
    file: BlockNode,
    position: Position,
  ): Co<BlockNode> {
    const options = this.#optionsFor(child, reference, file);
    const request = {
      child,
      ...reference,
      options,
      nodeName,
      parentFilename: fileOf(file)?.filename ?? nodeName,
      depth: position.depth,
    };
    const allowed = yield* passGate(this.#policy.references, request);
    // Looked at before it is opened: a circle would be opened again and again, down to the limit of the depth.
    if (child === 'backing' && position.above.includes(this.#keyOf(allowed))) {
      throw new BlockError(
        'corrupt',
        `The chain of backing files goes round in a circle: '${reference.filename}' stands above itself`,
        {
          node: nodeName,
          filename: reference.filename,
        },
      );
    }
    return yield* this.#openNode(allowed, position);
  }

  /** The key that the file of a node will have once it is open, from its options. */
  #keyOf(given: BlockdevOptions): string {
    const options = this.#withDriver(given, false);
    const file = options['file'];
    if (typeof file === 'object' && file !== null) return this.#keyOf(file as BlockdevOptions);
    if (typeof file === 'string') return fileKey(this.#graph.require(file));
    const driver = this.#graph.drivers.protocols.find((protocol) => protocol.name === options.driver);
    if (driver === undefined) return '';
    return `${driver.name} ${driver.filename(parseOptions(driver.options, splitOptions(options).own, `driver '${driver.name}'`))}`;
  }

  /** What a name in a header means: relative names are seen from the file that they stand in. */
  #optionsFor(child: string, reference: FileReference, file: BlockNode): BlockdevOptions {
    const { drivers } = this.#graph;
    const { filename, format } = reference;
    if (filename.startsWith('json:')) return parseFilename(drivers, filename);
    const storage = fileOf(file);
    const hasPrefix = drivers.protocols.some((protocol) => protocol.parseFilename?.(filename) !== undefined);
    const protocol = storage === undefined || hasPrefix ? undefined : findProtocol(drivers, storage.driver.name);
    const node =
      protocol?.resolve === undefined || storage === undefined
        ? parseFilename(drivers, filename)
        : protocol.resolve(
            protocol.parseFilename?.(storage.filename) ?? { path: storage.filename, filename: storage.filename },
            filename,
          );
    if (child !== 'backing' && format === undefined) return node;
    return format === undefined ? { file: node } : { driver: format, file: node };
  }

  *#checkIdentity(
    node: ImageNode,
    image: FormatImage,
    backing: BlockNode,
    mode: GenericOptions['backing-identity'],
  ): Co<void> {
    // A check looks at the image's own tables, whatever it stands on.
    if (mode === 'ignore' || this.#policy.check === true) return;
    checkLineage(node.nodeName, image, backing);
    if (mode === 'format' || image.setBackingIdentity === undefined) return;
    const recorded = image.backingIdentity;
    if (recorded === undefined && node.readOnly) return;
    const found = yield* identityOf(backing);
    if (found === undefined) return;
    const changed = recorded === undefined ? undefined : difference(decodeIdentity(recorded), found);
    if (changed !== undefined && mode === 'check') {
      throw new BlockError(
        'base-changed',
        `The backing file is not the one that '${node.nodeName}' was made on: ${changed}. Give the right file, or open with ` +
          `'backing-identity': 'update' to take this one for it ('ignore' for once)`,
        {
          node: node.nodeName,
          filename: fileOf(backing)?.filename ?? '',
          detail: { recorded: decodeIdentity(recorded!), found },
        },
      );
    }
    if (!node.readOnly && (recorded === undefined || changed !== undefined)) {
      const kept = image.setBackingIdentity(encodeIdentity(found));
      if (isPromise(kept)) yield kept;
    }
  }

  #flags(generic: GenericOptions, position: Position): OpenFlags {
    return {
      readOnly: position.readOnly || generic['read-only'] === true,
      check: this.#policy.check === true,
      inspect: this.#policy.inspect === true,
      forceShare: position.forceShare || generic['force-share'],
      ...cacheFlags(generic, position.cache),
    };
  }

  #attach(
    name: string,
    parent: string,
    node: BlockNode,
    roles: readonly ChildRole[],
    readOnly: boolean,
    forceShare: boolean,
  ): Child {
    return this.#graph.attach(name, parent, node, roles, childPermissions(new Set(roles), readOnly, forceShare));
  }

  #reserveName(wanted: string | undefined): string {
    const name = this.#graph.reserveName(wanted);
    this.#names.add(name);
    return name;
  }

  #register(node: BlockNode): BlockNode {
    this.#graph.register(node);
    this.#names.delete(node.nodeName);
    this.#opened.push(node);
    return node;
  }
}

function missing(name: string, owner: string): BlockError {
  return new BlockError('invalid', `Option '${name}' of ${owner} is missing: what the image is stored in`);
}

/** The option of a child: `extents.0` is `0` in `extents`, as dotted names are nested. */
function optionAt(options: Readonly<Record<string, unknown>>, name: string): unknown {
  let found: unknown = options;
  for (const key of name.split('.')) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, key)) return undefined;
    found = (found as Readonly<Record<string, unknown>>)[key];
  }
  return found;
}

/** What tells files apart in a chain. */
function fileKey(node: BlockNode): string {
  const file = fileOf(node);
  return file === undefined ? `node ${node.nodeName}` : `${file.driver.name} ${file.filename}`;
}

/** The graph: all open nodes and who uses whom. Opening, closing and changing it is always asynchronous. */
import { CoMutex, settle, startAsync, type Co } from '../co.ts';
import type { BlockdevOptions, ChildRole } from '../driver.ts';
import { BlockError } from '../error.ts';
import { DEFAULT_MAX_CHAIN_DEPTH } from '../limits.ts';
import type { DriverSet } from '../registry.ts';
import { BlockBackend } from './backend.ts';
import { Child } from './child.ts';
import { denyReferences } from './gate.ts';
import type { BlockNode, GraphClock } from './node.ts';
import { ObjectStore } from './objects.ts';
import { NodeOpener, type OpenPolicy } from './opener.ts';
import { backendPermissions, conflict, type Permissions } from './permission.ts';
import { SecretStore } from './secrets.ts';

const DEFAULT_POLICY: OpenPolicy = { references: denyReferences, maxChainDepth: DEFAULT_MAX_CHAIN_DEPTH };

export class BlockGraph {
  readonly drivers: DriverSet;
  /** Passphrases of encrypted images. */
  readonly secrets = new SecretStore();
  /** Throttle groups, and what else drivers find by name. */
  readonly objects = new ObjectStore();
  readonly clock: GraphClock = { generation: 0 };
  readonly #nodes = new Map<string, BlockNode>();
  readonly #backends = new Map<string, BlockBackend>();
  /** Names of nodes that are being opened. */
  readonly #reservedNames = new Set<string>();
  /** One node is closed at a time, with all below it. */
  readonly #changes = new CoMutex();
  #nextName = 1;

  constructor(drivers: DriverSet) {
    this.drivers = drivers;
  }

  /**
   * Opens a node and everything below it.
   *
   * @param options as for QEMU's `blockdev-add`, or a file name. Without `driver` the format is probed, and the node read-only
   * @param policy what images may name, and how deep chains may be
   * @returns the node; it stays open until `remove`
   * @throws BlockError of any kind; then nothing stays open of what this call opened
   */
  add(options: BlockdevOptions | string, policy: Partial<OpenPolicy> = {}): Promise<BlockNode> {
    // Not under the lock of changes: a server that takes its time holds up nobody else.
    return startAsync(new NodeOpener(this, { ...DEFAULT_POLICY, ...policy }).open(options));
  }

  /** Closes a node that nobody uses, and what was opened for it alone. @throws BlockError `busy` while it is in use */
  remove(nodeName: string): Promise<void> {
    return startAsync(this.#changes.run(() => this.#removeNode(this.require(nodeName))));
  }

  /**
   * Opens a disk: a node, and a backend on it.
   *
   * @throws BlockError `permission` when somebody who uses the node does not share what a disk needs
   */
  open(options: BlockdevOptions | string, policy: Partial<OpenPolicy> = {}): Promise<BlockBackend> {
    return startAsync(this.#open(options, policy));
  }

  *#open(options: BlockdevOptions | string, policy: Partial<OpenPolicy>): Co<BlockBackend> {
    const node = yield* settle(this.add(options, policy));
    try {
      return this.createBackend(node);
    } catch (error) {
      yield* settle(this.remove(node.nodeName));
      throw error;
    }
  }

  /** Makes a user of a node: what guests, inspectors and jobs hold. @param readOnly default: as the node is */
  createBackend(node: BlockNode, readOnly: boolean = node.readOnly): BlockBackend {
    const id = `disk${this.#nextName++}`;
    const root = this.attach('root', id, node, ['data'], backendPermissions(readOnly));
    const backend = new BlockBackend(id, root);
    this.#backends.set(id, backend);
    return backend;
  }

  /**
   * Closes a disk: waits for its requests, flushes it, lets go of its node and closes what nobody else uses.
   *
   * @throws BlockError what the last flush or the closing of an image reported; everything is closed all the same
   */
  close(backend: BlockBackend): Promise<void> {
    return startAsync(this.#changes.run(() => this.#closeBackend(backend)));
  }

  find(nodeName: string): BlockNode | undefined {
    return this.#nodes.get(nodeName);
  }

  /** @throws BlockError `not-found` */
  require(nodeName: string): BlockNode {
    const node = this.#nodes.get(nodeName);
    if (node === undefined) throw new BlockError('not-found', `There is no node '${nodeName}'`);
    return node;
  }

  get nodes(): Iterable<BlockNode> {
    return this.#nodes.values();
  }

  /** The layers of a disk from the top downwards, filters included. */
  *chain(top: BlockNode): Iterable<BlockNode> {
    for (let node: BlockNode | undefined = top; node !== undefined; node = node.below) yield node;
  }

  /** Runs a change while no request reaches a node from any disk above it. QEMU: drained section. */
  *drained<T>(node: BlockNode, body: () => Co<T>): Co<T> {
    const resume = yield* this.quiesceAbove(node);
    try {
      return yield* body();
    } finally {
      resume();
    }
  }

  /** Holds back the requests of all disks above a node, once those in flight are done. @returns what lets them go on */
  *quiesceAbove(node: BlockNode): Co<() => void> {
    const backends = [...this.#backends.values()].filter((backend) => reaches(backend.node, node));
    for (const backend of backends) yield* backend.quiesce();
    return () => backends.forEach((backend) => backend.resume());
  }

  // ── For the opener and for jobs ──

  /** Reserves a name for a new node. @throws BlockError `exists` when the one that was asked for is taken */
  reserveName(wanted: string | undefined): string {
    const name = this.#freeName(wanted);
    this.#reservedNames.add(name);
    return name;
  }

  /** Gives a name back whose node did not come to be. */
  releaseName(name: string): void {
    this.#reservedNames.delete(name);
  }

  #freeName(wanted: string | undefined): string {
    if (wanted === undefined) return `#block${String(this.#nextName++).padStart(3, '0')}`;
    if (this.#nodes.has(wanted) || this.#reservedNames.has(wanted))
      throw new BlockError('exists', `There is a node '${wanted}' already`);
    if (!/^[A-Za-z][A-Za-z0-9._-]{0,63}$/.test(wanted)) {
      throw new BlockError(
        'invalid',
        `'${wanted}' is no node name: a letter, then letters, digits, '.', '_' and '-', 64 at most`,
      );
    }
    return wanted;
  }

  register(node: BlockNode): void {
    this.#reservedNames.delete(node.nodeName);
    this.#nodes.set(node.nodeName, node);
    this.clock.generation++;
  }

  /**
   * Makes an edge to a node. @throws BlockError `permission` when it needs what another user of the node does not share, or
   * does not share what another user has
   */
  attach(
    name: string,
    parentName: string,
    node: BlockNode,
    roles: readonly ChildRole[],
    permissions: Permissions,
  ): Child {
    if (node.closed)
      throw new BlockError('closed', `Node '${node.nodeName}' was closed while '${parentName}' was being opened`);
    if (permissions.needed.has('write') && node.readOnly) {
      throw new BlockError('permission', `Node '${node.nodeName}' is read-only; '${parentName}' needs to write to it`);
    }
    for (const other of node.parents) {
      const refused = conflict(permissions, other.permissions);
      if (refused !== undefined) throw inUse(node, other, refused, 'does not share');
      const taken = conflict(other.permissions, permissions);
      if (taken !== undefined) throw inUse(node, other, taken, 'has');
    }
    const child = new Child(name, parentName, node, new Set(roles), permissions);
    node.parents.add(child);
    this.clock.generation++;
    return child;
  }

  detach(child: Child): void {
    child.node.parents.delete(child);
    this.clock.generation++;
  }

  /** Closes a node of a tree that could not be opened as a whole. Its own error is on its way already. */
  *discardNode(node: BlockNode): Co<void> {
    try {
      yield* this.#closeNode(node);
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
    }
  }

  *#closeBackend(backend: BlockBackend): Co<void> {
    if (backend.closed) return;
    const node = backend.node;
    yield* backend.quiesce();
    try {
      if (!backend.readOnly) yield* settle(node.flush());
    } finally {
      backend.markClosed();
      backend.resume();
      this.#backends.delete(backend.id);
      this.detach(backend.root);
      if (node.parents.size === 0) yield* this.#removeNode(node);
    }
  }

  *#removeNode(node: BlockNode): Co<void> {
    const user = [...node.parents][0];
    if (user !== undefined) throw new BlockError('busy', `Node '${node.nodeName}' is in use by '${user.parentName}'`);
    yield* this.#closeNode(node);
  }

  /** Closes a node, then its children that nobody else uses, whatever the closing itself reports. */
  *#closeNode(node: BlockNode): Co<void> {
    this.#nodes.delete(node.nodeName);
    try {
      yield* settle(node.close());
    } finally {
      for (const child of node.children.values()) {
        this.detach(child);
        if (child.node.parents.size === 0 && !child.node.closed) yield* this.#closeNode(child.node);
      }
      node.children.clear();
    }
  }
}

function reaches(from: BlockNode, to: BlockNode): boolean {
  if (from === to) return true;
  for (const child of from.children.values()) if (reaches(child.node, to)) return true;
  return false;
}

function inUse(node: BlockNode, other: Child, permission: string, verb: 'does not share' | 'has'): BlockError {
  return new BlockError(
    'permission',
    `Node '${node.nodeName}' is in use: '${other.parentName}' (as its '${other.name}') ${verb} the permission '${permission}'`,
    { node: node.nodeName },
  );
}

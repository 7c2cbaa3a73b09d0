import type { MaybePromise } from '../co.ts';
import { NO_FLAGS, type BlockChild, type ChildRole, type Preallocation, type RequestFlags } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockEvent } from '../events.ts';
import type { BlockNode } from './node.ts';
import type { Permissions } from './permission.ts';

/** An edge of the graph: the use that a parent (a node or a backend) makes of a node. QEMU: BdrvChild. */
export class Child implements BlockChild {
  readonly name: string;
  /** Who uses the node: the name of a node, or of a backend. */
  readonly parentName: string;
  readonly node: BlockNode;
  readonly roles: ReadonlySet<ChildRole>;
  readonly permissions: Permissions;
  readonly #mayWrite: boolean;
  readonly #mayWriteUnchanged: boolean;

  constructor(
    name: string,
    parentName: string,
    node: BlockNode,
    roles: ReadonlySet<ChildRole>,
    permissions: Permissions,
  ) {
    this.name = name;
    this.parentName = parentName;
    this.node = node;
    this.roles = roles;
    this.permissions = permissions;
    this.#mayWrite = permissions.needed.has('write') || permissions.needed.has('write-unchanged');
    this.#mayWriteUnchanged = this.#mayWrite || permissions.needed.has('write-unchanged');
  }

  get nodeName(): string {
    return this.node.nodeName;
  }

  get filename(): string | undefined {
    return this.node.filename;
  }

  get length(): number {
    return this.node.length;
  }

  get readOnly(): boolean {
    return !this.#mayWrite;
  }

  get synchronous(): boolean {
    return this.node.synchronous;
  }

  get compresses(): boolean {
    let node: BlockNode | undefined = this.node;
    while (node?.isFilter === true) node = node.below;
    return node?.driver.kind === 'format' && node.driver.capabilities.compress;
  }

  read(offset: number, buffer: Uint8Array, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    if (flags.copyOnRead === true && !this.#mayWriteUnchanged) throw this.#refusal('copy on read', offset);
    return this.node.read(offset, buffer, flags);
  }

  write(offset: number, data: Uint8Array, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    if (!this.#mayWrite && !(flags.writeUnchanged === true && this.#mayWriteUnchanged)) {
      throw this.#refusal('write', offset);
    }
    return this.node.write(offset, data, flags);
  }

  writeZeroes(offset: number, length: number, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    if (!this.#mayWrite) throw this.#refusal('write zeroes', offset);
    return this.node.writeZeroes(offset, length, flags);
  }

  discard(offset: number, length: number): MaybePromise<void> {
    if (!this.#mayWrite) throw this.#refusal('discard', offset);
    return this.node.discard(offset, length);
  }

  truncate(length: number, preallocation: Preallocation = 'off'): MaybePromise<void> {
    if (!this.#mayWrite) throw this.#refusal('truncate', length);
    return this.node.truncate(length, preallocation);
  }

  flush(): MaybePromise<void> {
    return this.node.flush();
  }

  allocatedSize(): MaybePromise<number | undefined> {
    return this.node.allocatedSize();
  }

  event(name: BlockEvent): void {
    this.node.event(name);
  }

  #refusal(op: string, offset: number): BlockError {
    return new BlockError('permission', `'${this.parentName}' opened its '${this.name}' read-only and may not ${op}`, {
      node: this.nodeName,
      op,
      offset,
    });
  }
}

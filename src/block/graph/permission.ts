/** Who may do what with a node, and what it lets others do meanwhile. QEMU: BLK_PERM_*. */
import type { ChildRole, Permission } from '../driver.ts';

export interface Permissions {
  /** What the parent needs of the node. */
  readonly needed: ReadonlySet<Permission>;
  /** What the parent lets the node's other parents do. */
  readonly shared: ReadonlySet<Permission>;
}

const READ: readonly Permission[] = ['consistent-read'];
const WRITE: readonly Permission[] = ['consistent-read', 'write', 'resize'];
/** Others may read, and write what is there already (a commit, copy-on-read): that changes nothing for anyone. */
const SHARED: ReadonlySet<Permission> = new Set<Permission>(['consistent-read', 'write-unchanged']);
const SHARED_WITH_ALL: ReadonlySet<Permission> = new Set<Permission>([
  'consistent-read',
  'write',
  'write-unchanged',
  'resize',
]);

/** What a node needs of a child, by the child's role and by whether the node itself can be written. */
export function childPermissions(roles: ReadonlySet<ChildRole>, readOnly: boolean, forceShare = false): Permissions {
  const writes = !readOnly && !roles.has('cow');
  return { needed: new Set(writes ? WRITE : READ), shared: forceShare ? SHARED_WITH_ALL : SHARED };
}

/** What a user of a disk (a guest, the inspector, a job) needs. */
export function backendPermissions(readOnly: boolean, forceShare = false): Permissions {
  return { needed: new Set(readOnly ? READ : WRITE), shared: forceShare ? SHARED_WITH_ALL : SHARED };
}

/** The first permission that one needs and the other does not share, or undefined. */
export function conflict(needs: Permissions, other: Permissions): Permission | undefined {
  for (const permission of needs.needed) if (!other.shared.has(permission)) return permission;
  return undefined;
}

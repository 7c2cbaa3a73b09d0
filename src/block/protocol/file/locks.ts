/**
 * Locks that keep processes out of each other's way, the same that QEMU's programs take: single bytes of the file, one for each
 * permission that is held and one for each that is not shared. They belong to the open file, so they end with it, and with its
 * process however that dies.
 *
 * Source: QEMU, "QEMU image locking" (image-locking, file-posix: permission bytes from 100 on, bytes of what is not shared from
 * 200 on); Linux man-pages, fcntl(2), "Open file description locks (non-POSIX)".
 */
import { BlockError } from '../../error.ts';
import { systemCalls, type SystemCalls } from './system-calls.ts';

/** In the order of QEMU's bits; the place in the list is the byte. */
const PERMISSIONS = ['consistent read', 'write', 'write unchanged', 'resize'] as const;
type LockedPermission = (typeof PERMISSIONS)[number];

const HELD_BASE = 100;
const UNSHARED_BASE = 200;

export type LockingMode = 'auto' | 'on' | 'off';

/** What a user of a file does with it, and what nobody else may do meanwhile. */
interface LockedUse {
  readonly held: readonly LockedPermission[];
  readonly unshared: readonly LockedPermission[];
}

/** @param forceShare lets others write: for those who only look */
export function useOf(readOnly: boolean, forceShare: boolean): LockedUse {
  return {
    held: readOnly ? ['consistent read'] : ['consistent read', 'write', 'resize'],
    unshared: forceShare ? [] : ['write', 'resize'],
  };
}

/** One who makes a file anew: others may have it open, but not to write or to change its length. */
export const CREATING: LockedUse = { held: ['write', 'resize'], unshared: ['resize'] };

/**
 * Takes the locks of a use of an opened file, for as long as the descriptor is open.
 *
 * @param mode `auto`: where the system and the file system have such locks; `on`: or not at all; `off`: never
 * @returns whether locks were taken
 * @throws BlockError `busy` in QEMU's words when another user's locks say no, `unsupported` when `on` is not possible
 */
export function lockFile(descriptor: number, filename: string, use: LockedUse, mode: LockingMode): boolean {
  if (mode === 'off') return false;
  const calls = systemCalls();
  const bytes = [...use.held.map(heldByte), ...use.unshared.map(unsharedByte)];
  // First our own, then a look at the others': of two that come at the same time at least one sees the other.
  if (calls === undefined || !bytes.every((byte) => calls.lockByte(descriptor, byte))) {
    if (mode === 'auto') return false;
    throw new BlockError('unsupported', "There are no file locks here: pass 'locking' as 'auto' or 'off'", {
      filename,
    });
  }
  refuseConflicts(calls, descriptor, filename, use);
  return true;
}

function refuseConflicts(calls: SystemCalls, descriptor: number, filename: string, use: LockedUse): void {
  for (const permission of use.held) {
    if (calls.isByteLocked(descriptor, unsharedByte(permission))) throw inUse(`"${permission}"`, filename);
  }
  for (const permission of use.unshared) {
    if (calls.isByteLocked(descriptor, heldByte(permission))) throw inUse(`shared "${permission}"`, filename);
  }
}

function heldByte(permission: LockedPermission): number {
  return HELD_BASE + PERMISSIONS.indexOf(permission);
}

function unsharedByte(permission: LockedPermission): number {
  return UNSHARED_BASE + PERMISSIONS.indexOf(permission);
}

function inUse(lock: string, filename: string): BlockError {
  const message = `Failed to get ${lock} lock\nIs another process using the image [${filename}]?`;
  return new BlockError('busy', message, { driver: 'file', filename });
}

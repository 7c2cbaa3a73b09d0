/**
 * What happens when a request of the guest fails, per direction, as with QEMU's `rerror` and `werror`
 * (QEMU's manual, "Block device options", -drive).
 */

/**
 * - `report`: the guest sees an I/O error, at once.
 * - `ignore`: the guest is told that all went well; what it reads is zeroes. For salvage only.
 * - `stop`: the machine stops, the request is kept, and `resume()` tries it again.
 */
export type ReadErrorPolicy = 'report' | 'ignore' | 'stop';

/** `enospc` (QEMU's default): `stop` when the storage is out of space, `report` for everything else. Covers flushes too. */
export type WriteErrorPolicy = ReadErrorPolicy | 'enospc';

export type DriveOperation = 'read' | 'write' | 'flush' | 'discard';

/** What was done about an error. */
export type ErrorAction = 'report' | 'ignore' | 'stop';

/** A request that failed. QEMU's event BLOCK_IO_ERROR says the same. */
export interface DriveErrorEvent {
  /** Where the disk is plugged in, `hda`, `hdb`, `cdrom`, `fda` or `fdb`; `undefined` before it is attached. */
  readonly drive: string | undefined;
  readonly operation: DriveOperation;
  /** Bytes from the start of the disk; 0 for a flush. */
  readonly offset: number;
  /** Bytes; 0 for a flush. */
  readonly length: number;
  readonly error: unknown;
  readonly action: ErrorAction;
}

export interface ErrorPolicies {
  readonly readError: ReadErrorPolicy;
  readonly writeError: WriteErrorPolicy;
}

/** Decides what to do about `error`. */
export function errorAction(policies: ErrorPolicies, operation: DriveOperation, error: unknown): ErrorAction {
  const policy = operation === 'read' ? policies.readError : policies.writeError;
  if (policy !== 'enospc') return policy;
  return isOutOfSpace(error) ? 'stop' : 'report';
}

function isOutOfSpace(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'kind' in error && error.kind === 'no-space';
}

/** Machine state that is kept in an image together with a snapshot: written and read in pieces, so that guests get their turn. */
import type { Co } from '../block/co.ts';
import type { SnapshotInfo } from '../block/driver.ts';
import { BlockError } from '../block/error.ts';
import type { BlockNode } from '../block/graph/node.ts';
import { createSnapshot, readVmState, writeVmState } from '../block/image/snapshot.ts';

const PIECE_BYTES = 4 * 1024 * 1024;

/** A state is held in memory whole: v86 gives and takes it in one piece. */
const MAX_STATE_BYTES = 2 ** 31;

/** Makes a snapshot. @param state of the machine, if it is to be kept with it */
export function* createWithState(node: BlockNode, name: string, state: ArrayBuffer | undefined): Co<SnapshotInfo> {
  const vmStateSize = state?.byteLength ?? 0;
  for (let offset = 0; offset < vmStateSize; offset += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, vmStateSize - offset);
    yield* writeVmState(node, offset, new Uint8Array(state!, offset, length));
  }
  return yield* createSnapshot(node, { name, vmStateSize });
}

/** Reads the state of a snapshot that has just been applied. @throws BlockError `unsupported` for one that no memory holds */
export function* readState(node: BlockNode, { name, vmStateSize }: SnapshotInfo): Co<ArrayBuffer> {
  if (vmStateSize > MAX_STATE_BYTES) {
    throw new BlockError(
      'unsupported',
      `The machine state of snapshot '${name}' has ${vmStateSize} bytes; here at most ${MAX_STATE_BYTES} can be read at once`,
    );
  }
  const state = new ArrayBuffer(vmStateSize);
  for (let offset = 0; offset < vmStateSize; offset += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, vmStateSize - offset);
    yield* readVmState(node, offset, new Uint8Array(state, offset, length));
  }
  return state;
}

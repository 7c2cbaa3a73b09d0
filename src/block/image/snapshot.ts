/**
 * Internal snapshots of an image, and the machine state that can be kept with one. What changes something waits for all requests
 * in flight and lets none begin meanwhile: a snapshot shows the disk as it was at one moment.
 */
import { settle, type Co } from '../co.ts';
import type { SnapshotInfo, SnapshotRequest, SnapshotTable } from '../driver.ts';
import { BlockError } from '../error.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';
import { isZero } from '../io/buffers.ts';

/** Names one snapshot: by what it is called, first as an id and then as a name, or by one or both of them. QEMU: `snapshot.id`, `snapshot.name`. */
export type SnapshotSelector = string | { readonly id?: string | undefined; readonly name?: string | undefined };

/** @returns oldest first; empty where the format has no snapshots */
export function listSnapshots(node: BlockNode): readonly SnapshotInfo[] {
  const image = imageBelow(node)?.image;
  return image?.snapshots?.list() ?? [];
}

/**
 * Keeps the disk as it is now. On stable storage when it returns.
 *
 * @throws BlockError `unsupported` when the format has no snapshots or this image cannot have one more, `permission`, `corrupt`,
 *   `no-space`, `io`
 */
export function* createSnapshot(node: BlockNode, request: SnapshotRequest): Co<SnapshotInfo> {
  const { image, snapshots } = snapshotsOf(node, 'write');
  return yield* exclusively(image, () => settle(snapshots.create(request)));
}

/**
 * Makes the disk what it was; what was written since is lost, and the disk has the size that it had. QEMU: bdrv_snapshot_goto.
 *
 * @throws BlockError `not-found`, `busy` when the disk has dirty bitmaps, and as `createSnapshot`
 */
export function* applySnapshot(node: BlockNode, selector: SnapshotSelector): Co<SnapshotInfo> {
  const { image, snapshots } = snapshotsOf(node, 'write');
  return yield* exclusively(image, function* () {
    if (image.bitmaps.size > 0) {
      throw new BlockError('busy', 'Device has active dirty bitmaps: they would miss what changes. Remove them first');
    }
    const found = findSnapshot(snapshots, selector);
    yield* settle(snapshots.apply(found.id));
    return found;
  });
}

/** @throws BlockError `not-found`, and as `createSnapshot` */
export function* deleteSnapshot(node: BlockNode, selector: SnapshotSelector): Co<SnapshotInfo> {
  const { image, snapshots } = snapshotsOf(node, 'write');
  return yield* exclusively(image, function* () {
    const found = findSnapshot(snapshots, selector);
    yield* settle(snapshots.delete(found.id));
    return found;
  });
}

/**
 * Makes an image that is open read-only show a snapshot. QEMU: bdrv_snapshot_load_tmp, `qemu-img convert -l`.
 *
 * @throws BlockError `not-found`, `invalid` when the image is open for writing, `corrupt`, `io`
 */
export function* loadSnapshot(node: BlockNode, selector: SnapshotSelector): Co<SnapshotInfo> {
  const { image, snapshots } = snapshotsOf(node, 'read');
  return yield* exclusively(image, function* () {
    const found = findSnapshot(snapshots, selector);
    yield* settle(snapshots.load(found.id));
    return found;
  });
}

/** @throws BlockError `not-found` */
export function findSnapshot(snapshots: Pick<SnapshotTable, 'list'>, selector: SnapshotSelector): SnapshotInfo {
  const list = snapshots.list();
  const found =
    typeof selector === 'string'
      ? (list.find(({ id }) => id === selector) ?? list.find(({ name }) => name === selector))
      : list.find(
          ({ id, name }) =>
            (selector.id ?? id) === id &&
            (selector.name ?? name) === name &&
            (selector.id !== undefined || selector.name !== undefined),
        );
  if (found !== undefined) return found;
  const wanted = typeof selector === 'string' ? selector : (selector.name ?? selector.id ?? '');
  throw new BlockError('not-found', `The image has no snapshot '${wanted}'`);
}

// ── Machine state ───────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Writes machine state, from its byte `offset` on. It belongs to the next snapshot that is created with its size. Zeroes take no
 * space.
 *
 * @throws BlockError `unsupported` when the format cannot keep machine state, `permission`, `no-space`, `io`
 */
export function* writeVmState(node: BlockNode, offset: number, data: Uint8Array): Co<void> {
  const { image, base, reserve } = vmStateOf(node, 'write');
  image.fileEvent('vmstate_save');
  yield* settle(reserve(offset + data.length));
  const unit = image.image.allocationUnit;
  let from = 0;
  for (let at = 0; at < data.length;) {
    const end = Math.min(data.length, at + unit - ((offset + at) % unit));
    const skip = isZero(data.subarray(at, end)) && (yield* readsAsZero(image, base + offset + at, end - at));
    if (skip) {
      yield* writePiece(image, base + offset + from, data.subarray(from, at));
      from = end;
    }
    at = end;
  }
  yield* writePiece(image, base + offset + from, data.subarray(from));
}

/** Reads the machine state of the snapshot that was applied or loaded last, from its byte `offset` on. */
export function* readVmState(node: BlockNode, offset: number, buffer: Uint8Array): Co<void> {
  const { image, base } = vmStateOf(node, 'read');
  image.fileEvent('vmstate_load');
  if (buffer.length > 0) yield* settle(image.readInside(base + offset, buffer, {}));
}

function* writePiece(image: ImageNode, offset: number, data: Uint8Array): Co<void> {
  if (data.length > 0) yield* settle(image.writeInside(offset, data, {}));
}

/** The backing file ends before machine state begins: what no layer holds there is zero. */
function* readsAsZero(image: ImageNode, offset: number, length: number): Co<boolean> {
  const extent = yield* settle(image.image.map(offset, length));
  return (extent.kind === 'backing' || extent.kind === 'zero') && extent.length === length;
}

// ── Nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The image below filters. */
function imageBelow(node: BlockNode): ImageNode | undefined {
  let at: BlockNode | undefined = node;
  while (at?.isFilter === true) at = at.below;
  return at instanceof ImageNode ? at : undefined;
}

function snapshotsOf(node: BlockNode, use: 'read' | 'write'): { image: ImageNode; snapshots: SnapshotTable } {
  if (node.closed) throw new BlockError('closed', `Node '${node.nodeName}' is closed`);
  const image = imageBelow(node);
  const snapshots = image?.image.snapshots;
  if (image === undefined || snapshots === undefined) {
    throw new BlockError('unsupported', `The format '${node.driver.name}' has no internal snapshots; 'qcow2' has them`);
  }
  if (use === 'write' && image.readOnly) throw new BlockError('permission', `Node '${image.nodeName}' is read-only`);
  return { image, snapshots };
}

function vmStateOf(
  node: BlockNode,
  use: 'read' | 'write',
): { image: ImageNode; base: number; reserve: NonNullable<SnapshotTable['reserveVmState']> } {
  const { image, snapshots } = snapshotsOf(node, use);
  const { vmStateOffset: base } = snapshots;
  const reserve = snapshots.reserveVmState?.bind(snapshots);
  if (base === undefined || reserve === undefined) {
    throw new BlockError('unsupported', `The format '${image.driver.name}' cannot keep machine state`);
  }
  return { image, base, reserve };
}

/** Runs a coroutine while no request to the image is in flight. */
function* exclusively<T>(node: ImageNode, body: () => Co<T>): Co<T> {
  const request = node.tracker.begin('snapshot', 0, Number.MAX_SAFE_INTEGER);
  try {
    yield* node.tracker.makeSerialising(request, node.image.allocationUnit);
    return yield* body();
  } finally {
    // What was remembered of the image's mapping, and its length, may be void.
    node.clock.generation++;
    node.tracker.end(request);
  }
}

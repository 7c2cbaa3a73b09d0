/** Dirty bitmaps of a disk: what `qemu-img bitmap` does with them, and copying them to another image. */
import type { BitmapSet } from '../bitmap/bitmap-set.ts';
import { DirtyBitmap } from '../bitmap/dirty-bitmap.ts';
import { settle, type Co } from '../co.ts';
import type { PersistentBitmaps } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockGraph } from '../graph/graph.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';

/** QEMU: BlockDirtyInfo. */
export interface BitmapInfo {
  readonly name: string;
  /** Bytes. */
  readonly granularity: number;
  /** Dirty bytes. */
  readonly count: number;
  /** Records what is written. */
  readonly recording: boolean;
  /** A job works with it. */
  readonly busy: boolean;
  readonly persistent: boolean;
  /** It missed writes: it can only be removed. */
  readonly inconsistent: boolean;
}

export interface NewBitmap {
  readonly name: string;
  /** Bytes, a power of two. Default: the cluster size, between 4 and 64 KiB. */
  readonly granularity?: number | undefined;
  /** Default: yes. */
  readonly enabled?: boolean | undefined;
  /** Kept in the image. Default: yes. */
  readonly persistent?: boolean | undefined;
}

/** What `qemu-img bitmap` does, in this order, to one bitmap. */
export type BitmapAction =
  | ({ readonly action: 'add' } & Omit<NewBitmap, 'name'>)
  | { readonly action: 'remove' | 'clear' | 'enable' | 'disable' }
  /** @property node the disk that has the source; default: the same */
  | { readonly action: 'merge'; readonly source: string; readonly node?: BlockNode };

/**
 * Lists the bitmaps of a disk, those in its image among them.
 *
 * @throws BlockError `corrupt` when those in the image are broken, `io`
 */
export function* listBitmaps(node: BlockNode): Co<BitmapInfo[]> {
  const set = yield* bitmapsOf(node);
  return [...set].map((bitmap) => ({
    name: bitmap.name,
    granularity: bitmap.granularity,
    count: bitmap.dirtyBytes,
    recording: bitmap.enabled,
    busy: bitmap.busy,
    persistent: bitmap.persistent,
    inconsistent: bitmap.inconsistent,
  }));
}

/**
 * Does things to a bitmap, one after the other, while no request reaches the disk. The image has what became of it when it is
 * closed; what was removed is gone at once.
 *
 * @throws BlockError in the words of `qemu-img bitmap`; what was done before stays done
 */
export function* changeBitmap(
  graph: BlockGraph,
  node: BlockNode,
  name: string,
  actions: readonly BitmapAction[],
): Co<void> {
  yield* graph.drained(node, function* () {
    for (const action of actions) {
      try {
        yield* perform(node, name, action);
      } catch (error) {
        if (!(error instanceof BlockError)) throw error;
        const message = `Operation ${action.action} on bitmap ${name} failed: ${error.message}`;
        throw new BlockError(error.kind, message, { ...error.context, node: node.nodeName }, { cause: error });
      }
    }
  });
}

function* perform(node: BlockNode, name: string, action: BitmapAction): Co<void> {
  switch (action.action) {
    case 'add':
      addBitmap(node, { ...action, name });
      return;
    case 'remove':
      return yield* removeBitmap(node, name);
    case 'merge':
      return yield* mergeBitmap(node, name, action.node ?? node, action.source);
    case 'clear':
      return writable(node, name).clear();
    case 'enable':
      return changeable(node, name).enable();
    case 'disable':
      return changeable(node, name).disable();
  }
}

/**
 * Adds a bitmap to a disk, with nothing in it.
 *
 * @throws BlockError `exists`, `invalid`, `unsupported` in QEMU's words
 */
export function addBitmap(node: BlockNode, { name, ...options }: NewBitmap): DirtyBitmap {
  const { granularity = defaultGranularity(node), enabled = true, persistent = true } = options;
  const settings = { name, granularity, size: node.length, enabled, persistent };
  node.bitmaps.checkNew(settings);
  if (persistent) {
    assertWritable(node);
    checkPersistent(node, name, granularity);
  }
  return node.bitmaps.adopt(new DirtyBitmap(settings));
}

function checkPersistent(node: BlockNode, name: string, granularity: number): void {
  try {
    keeperOf(node).checkNew(name, granularity);
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    const message = `Can't make bitmap '${name}' persistent in '${node.nodeName}': ${error.message}`;
    throw new BlockError(error.kind, message, error.context, { cause: error });
  }
}

/** What keeps the bitmaps of a node. @throws BlockError `unsupported` */
function keeperOf(node: BlockNode): PersistentBitmaps {
  const keeper = node instanceof ImageNode ? node.image.bitmaps : undefined;
  if (keeper !== undefined) return keeper;
  throw new BlockError(
    'unsupported',
    `Can't store persistent bitmaps to ${node.nodeName}: '${node.driver.name}' keeps none`,
  );
}

/** QEMU: bdrv_get_default_bitmap_granularity. */
function defaultGranularity(node: BlockNode): number {
  const clusterSize = node instanceof ImageNode ? node.image.info().clusterSize : undefined;
  return Math.min(65_536, Math.max(4096, clusterSize ?? 65_536));
}

/** Removes a bitmap from a disk, and from its image at once. @throws BlockError `not-found`, `busy`, `permission`, `io` */
export function* removeBitmap(node: BlockNode, name: string): Co<void> {
  const bitmap = node.bitmaps.require(name);
  bitmap.assertFree(['busy', 'readOnly']);
  if (bitmap.persistent) yield* settle(keeperOf(node).remove(name));
  else node.bitmaps.delete(name);
}

/**
 * Adds to a bitmap what is dirty in another, of the same disk or of another one of the same size.
 *
 * @throws BlockError `not-found`, `invalid` for disks of different sizes, and what stands in the way, in QEMU's words
 */
export function* mergeBitmap(node: BlockNode, name: string, sourceNode: BlockNode, sourceName: string): Co<void> {
  const target = writable(node, name);
  const source = (yield* bitmapsOf(sourceNode)).require(sourceName);
  source.assertFree(['busy', 'inconsistent']);
  target.merge(source);
}

function writable(node: BlockNode, name: string): DirtyBitmap {
  const bitmap = changeable(node, name);
  bitmap.assertFree();
  return bitmap;
}

function changeable(node: BlockNode, name: string): DirtyBitmap {
  const bitmap = node.bitmaps.require(name);
  bitmap.assertFree(['busy', 'inconsistent']);
  if (bitmap.persistent) assertWritable(node);
  return bitmap;
}

function assertWritable(node: BlockNode): void {
  if (node.readOnly) {
    throw new BlockError('permission', `Node '${node.nodeName}' is read-only, and so are the bitmaps in its image`);
  }
}

function* bitmapsOf(node: BlockNode): Co<BitmapSet> {
  const keeper = node instanceof ImageNode ? node.image.bitmaps : undefined;
  return keeper === undefined ? node.bitmaps : yield* settle(keeper.load());
}

// ── Copying ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface CopyBitmapsSettings {
  /** Leave those out that are inconsistent. Default: an error. */
  readonly skipBroken?: boolean;
  /** Is told of each that was left out. */
  readonly onSkipped?: (name: string) => void;
}

/**
 * Whether the bitmaps of a disk can be copied: to be asked before hours are spent on its data.
 *
 * @throws BlockError `unsupported` when the source has no such thing, `corrupt` for an inconsistent one
 */
export function* checkBitmapsToCopy(source: BlockNode, settings: CopyBitmapsSettings = {}): Co<void> {
  if (!(source instanceof ImageNode) || source.image.bitmaps === undefined) {
    throw new BlockError('unsupported', 'Source lacks bitmap support', { node: source.nodeName });
  }
  for (const bitmap of yield* bitmapsOf(source)) {
    if (!bitmap.persistent || !bitmap.inconsistent || settings.skipBroken === true) continue;
    throw new BlockError(
      'corrupt',
      `Cannot copy inconsistent bitmap '${bitmap.name}'. Leave broken bitmaps out, or remove it first`,
      { node: source.nodeName },
    );
  }
}

/**
 * Copies the persistent bitmaps of a disk to another disk of the same size, which has the same content. QEMU: `convert --bitmaps`.
 *
 * @throws BlockError as `checkBitmapsToCopy`, and in QEMU's words when the target cannot keep them
 */
export function* copyBitmaps(source: BlockNode, target: BlockNode, settings: CopyBitmapsSettings = {}): Co<void> {
  yield* checkBitmapsToCopy(source, settings);
  for (const bitmap of [...(yield* bitmapsOf(source))]) {
    if (!bitmap.persistent) continue;
    if (bitmap.inconsistent) {
      settings.onSkipped?.(bitmap.name);
      continue;
    }
    yield* copyBitmap(bitmap, source, target);
  }
}

function* copyBitmap(bitmap: DirtyBitmap, source: BlockNode, target: BlockNode): Co<void> {
  const { name, granularity, enabled } = bitmap;
  try {
    const copy = addBitmap(target, { name, granularity, enabled: false });
    yield* mergeBitmap(target, name, source, name);
    if (enabled) copy.enable();
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    const message = `Failed to populate bitmap ${name}: ${error.message}`;
    throw new BlockError(error.kind, message, error.context, { cause: error });
  }
}

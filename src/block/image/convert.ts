/** Copying disks into a new image of any format that can be made, or into one that is there. */
import { settle, type Co, type MaybePromise } from '../co.ts';
import type { Progress } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockBackend } from '../graph/backend.ts';
import { allowNames } from '../graph/gate.ts';
import type { BlockGraph } from '../graph/graph.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';
import { COPY_BYTES, copyRange, type CopySettings } from '../io/copy.ts';
import { findFormat } from '../registry.ts';
import { makeImage, type CreateImageOptions } from './create.ts';

/** How data is copied. Names in brackets are qemu-img's. */
export interface CopyDiskSettings {
  /** The target holds nothing but zeroes, or what its backing file shows: zeroes are left out. [--target-is-zero] */
  readonly targetIsZero: boolean;
  /** Bytes in a row that must be zero to be left out; 0: everything is written. Default: 4096. [-S] */
  readonly sparseSize?: number;
  /** Data is stored compressed. [-c] */
  readonly compress?: boolean;
  /** Pieces in flight, 1 to 16. Default: 5. [-m] */
  readonly parallel?: number | undefined;
  /** [-W] */
  readonly anyOrder?: boolean;
  /** The target stands on what the sources stand on: only what they hold themselves is copied. [-B] */
  readonly onBacking?: boolean;
  /** [--salvage] */
  readonly onUnreadable?: (offset: number, error: unknown) => void;
  /** Waits until so many bytes may be written. [-r] */
  readonly pace?: (bytes: number) => MaybePromise<void>;
  /** Throws `aborted` to give up. */
  readonly progress?: Progress | undefined;
}

export interface ConvertSettings extends Partial<CopyDiskSettings> {
  /** Write over a file that exists. Default: no. */
  readonly overwrite?: boolean;
}

/**
 * Makes an image and copies what a disk reads as into it, backing files and all. The disk stands still meanwhile.
 *
 * @param source the disk's node
 * @param target options of the new image as for `createImage`; `size` is the disk's
 * @throws BlockError what either side reports. What was begun is deleted then
 */
export function* convertImage(
  graph: BlockGraph,
  source: BlockNode,
  target: CreateImageOptions,
  settings: ConvertSettings = {},
): Co<void> {
  const { file } = target;
  if (file === undefined) throw new BlockError('invalid', "Option 'file' is missing: where the image is to be stored");
  const { overwrite = false, ...copying } = settings;
  if (copying.compress === true) requireCompression(graph, target.driver);
  const image = yield* makeImage(graph, { ...target, size: source.length }, { overwrite });
  try {
    // What the new image consists of has just been made.
    const names = image.files.flatMap(({ name }) => (name === undefined ? [] : [name]));
    const disk = yield* settle(graph.open({ driver: target.driver, file }, { references: allowNames(names) }));
    try {
      const targetIsZero = findFormat(graph.drivers, target.driver).hasZeroInit !== false;
      yield* graph.drained(source, () => copyDisk([source], disk, { targetIsZero, ...copying }));
    } finally {
      yield* settle(graph.close(disk));
    }
  } catch (error) {
    // Half a disk must not pass for a whole one.
    yield* image.delete();
    throw error;
  }
}

/**
 * Copies disks one behind the other into a target that is open, what is zero without reading it.
 *
 * @throws BlockError with `detail.side` (`status`, `read` or `write`) and `detail.offset`, bytes in the source or the target
 */
export function* copyDisk(sources: readonly BlockNode[], target: BlockBackend, settings: CopyDiskSettings): Co<void> {
  const total = sources.reduce((sum, { length }) => sum + length, 0);
  let targetOffset = 0;
  for (const source of sources) {
    const before = targetOffset;
    const onProgress = (done: number): void => settings.progress?.report(before + done, total);
    const own = copySettings(source, target, settings);
    yield* copyRange(source, target, 0, source.length, { ...own, targetOffset, onProgress });
    targetOffset += source.length;
  }
}

/** @throws BlockError `unsupported` */
function requireCompression(graph: BlockGraph, format: string): void {
  if (findFormat(graph.drivers, format).capabilities.compress) return;
  throw new BlockError('unsupported', 'Compression not supported for this file format');
}

function copySettings(source: BlockNode, target: BlockBackend, settings: CopyDiskSettings): CopySettings {
  const { sparseSize = 4096, onBacking = false, progress: _, ...others } = settings;
  const image = target.node instanceof ImageNode ? target.node.image : undefined;
  const unit = image?.allocationUnit ?? 1;
  const compress = settings.compress === true || image?.needsCompressedWrites === true;
  return {
    ...others,
    detectZeroes: sparseSize > 0,
    // Part of a cluster cannot be left out, and compressed it is written whole.
    zeroUnit: Math.min(COPY_BYTES, Math.max(sparseSize, unit)),
    writeZeroesAsData: sparseSize === 0,
    targetIsZero: settings.targetIsZero && target.node.below === undefined,
    compressed: compress,
    ...(onBacking
      ? { base: source.below, ...(settings.targetIsZero ? { baseLength: target.node.below?.length ?? 0 } : {}) }
      : {}),
  };
}

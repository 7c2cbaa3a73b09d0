/** Copying a disk into a new image of any format that can be made. */
import { settle, type Co } from '../co.ts';
import type { Progress } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockGraph } from '../graph/graph.ts';
import type { BlockNode } from '../graph/node.ts';
import { copyRange } from '../io/copy.ts';
import { createImage, type CreateImageOptions, type CreateImageSettings } from './create.ts';

/**
 * Makes an image and copies what a disk reads as into it, backing files and all. The disk stands still meanwhile.
 *
 * @param source the disk's node
 * @param settings `compress`: store the data compressed, if the format can
 * @param target options of the new image as for `createImage`; `size` is the disk's
 * @throws BlockError what either side reports. An image that could not be finished stays where it is: it is not whole
 */
export function* convertImage(
  graph: BlockGraph,
  source: BlockNode,
  target: CreateImageOptions,
  settings: CreateImageSettings & { readonly compress?: boolean } = {},
): Co<void> {
  if (target.file === undefined)
    throw new BlockError('invalid', "Option 'file' is missing: where the image is to be stored");
  const { progress, compress, ...others } = settings;
  yield* createImage(graph, { ...target, size: source.length }, others);
  const disk = yield* settle(graph.open({ driver: target.driver, file: target.file }));
  try {
    yield* graph.drained(source, () =>
      copyRange(source, disk, 0, source.length, copySettings(source.length, progress, compress)),
    );
  } finally {
    yield* settle(graph.close(disk));
  }
}

function copySettings(total: number, progress: Progress | undefined, compressed = false) {
  return {
    targetIsZero: true,
    detectZeroes: true,
    compressed,
    ...(progress === undefined ? {} : { onProgress: (done: number) => progress.report(done, total) }),
  };
}

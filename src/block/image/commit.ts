/** Writing an overlay's data into what it stands on. */
import { settle, type Co } from '../co.ts';
import type { Permission, Progress } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockGraph } from '../graph/graph.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';
import { copyRange } from '../io/copy.ts';

export interface CommitSettings {
  /** Gives the overlay's own data back afterwards. */
  readonly empty: boolean;
  readonly pace?: ((bytes: number) => Promise<void>) | undefined;
  readonly progress?: Progress | undefined;
}

const ALL: readonly Permission[] = ['consistent-read', 'write', 'write-unchanged', 'resize'];

/**
 * Copies what the layers from `top` down to `base` hold into `base`, which then reads as `top` does. It grows if it is the shorter
 * one. Data is on stable storage before the overlay gives anything back.
 *
 * @param base a layer below `top`, open for writing
 * @throws BlockError `permission` for a layer that cannot be written, `unsupported`, `aborted`, and what the storage reports;
 *   nothing is lost then: the overlay still holds all that it held
 */
export function* commitImage(graph: BlockGraph, top: BlockNode, base: BlockNode, settings: CommitSettings): Co<void> {
  const { empty, pace, progress } = settings;
  const emptied = empty ? emptier(top) : undefined;
  yield* graph.drained(top, function* () {
    // It changes nothing of what the layers above read: each byte is one that they hold themselves.
    const permissions = {
      needed: new Set<Permission>(['consistent-read', 'write-unchanged']),
      shared: new Set<Permission>(ALL),
    };
    const target = graph.attach('target', 'commit', base, ['data'], permissions);
    try {
      if (base.length < top.length) yield* settle(base.truncate(top.length));
      yield* copyRange(top, target, 0, top.length, {
        targetIsZero: false,
        detectZeroes: false,
        base,
        ...(pace === undefined ? {} : { pace }),
        onProgress: (done) => progress?.report(done, top.length),
      });
      yield* settle(base.flush());
    } finally {
      graph.detach(target);
    }
    if (emptied !== undefined) {
      yield* settle(emptied());
      yield* settle(top.flush());
      graph.clock.generation++;
    }
  });
}

/** Whether the format of an overlay can give all of its data back. */
export function canBeEmptied(node: BlockNode): boolean {
  return node instanceof ImageNode && node.image.makeEmpty !== undefined;
}

function emptier(top: BlockNode) {
  if (!(top instanceof ImageNode) || top.image.makeEmpty === undefined) {
    throw new BlockError('unsupported', `A '${top.driver.name}' image cannot be emptied`, { node: top.nodeName });
  }
  const { image } = top;
  return () => image.makeEmpty!();
}

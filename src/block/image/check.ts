/** Checking an image's metadata, and repairing it. */
import { settle, type Co } from '../co.ts';
import type { CheckFix, CheckResult, Progress } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockGraph } from '../graph/graph.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';

/**
 * Checks an image while no request reaches it.
 *
 * @param fix what to repair: nothing, leaked space, or corruption as well
 * @throws BlockError `unsupported` for formats without a check, `permission` for a repair of a read-only image
 */
export function* checkImage(graph: BlockGraph, node: BlockNode, fix: CheckFix, progress?: Progress): Co<CheckResult> {
  if (!(node instanceof ImageNode) || node.image.check === undefined) {
    throw new BlockError('unsupported', `The format '${node.driver.name}' does not support checks`, {
      node: node.nodeName,
    });
  }
  const { image } = node;
  if (fix !== 'none' && node.readOnly) {
    throw new BlockError('permission', 'A read-only image can be checked but not repaired', {
      node: node.nodeName,
      op: 'check',
    });
  }
  return yield* graph.drained(node, function* () {
    const result = yield* settle(image.check!(fix, progress));
    // A repair may have moved things: nothing that was resolved before holds.
    if (fix !== 'none') graph.clock.generation++;
    return result;
  });
}

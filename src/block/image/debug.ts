/** What debugging tools ask of an open image. */
import type { Co } from '../co.ts';
import type { DebugPoints } from '../driver.ts';
import { FilterNode } from '../graph/filter-node.ts';
import type { BlockNode } from '../graph/node.ts';
import { blockStatus } from '../io/status.ts';

/** The breakpoints of the first filter that has any, from a node down to its file. QEMU: bdrv_find_debug_node. */
export function debugPoints(top: BlockNode): DebugPoints | undefined {
  for (let node: BlockNode | undefined = top; node !== undefined;) {
    if (node instanceof FilterNode && node.filter.debug !== undefined) return node.filter.debug;
    node = node.isFilter ? node.below : node.children.get('file')?.node;
  }
  return undefined;
}

/**
 * Whether the top layer of an image holds the start of a range itself. QEMU: bdrv_is_allocated.
 *
 * @returns the answer, and how many bytes it is true for, 1 or more
 */
export function* topLayerHolds(
  top: BlockNode,
  offset: number,
  length: number,
): Co<{ readonly length: number; readonly held: boolean }> {
  let layer = top;
  while (layer.isFilter && layer.below !== undefined) layer = layer.below;
  const status = yield* blockStatus(top, offset, length, layer.below);
  return { length: status.length, held: status.present };
}

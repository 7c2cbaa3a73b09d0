/** What the opener gives to a filter driver beside what every driver gets. */
import { settle, type Co } from '../co.ts';
import { BlockError } from '../error.ts';
import { blockStatus } from '../io/status.ts';
import { parseFilename } from '../registry.ts';
import type { Child } from './child.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode } from './node.ts';
import { childPermissions } from './permission.ts';

/** @see FilterContext.readFile */
export function* readSmallFile(graph: BlockGraph, filename: string, maxBytes: number): Co<Uint8Array> {
  const options = { ...parseFilename(graph.drivers, filename), 'read-only': true };
  const node = yield* settle(graph.add(options, { asFile: true }));
  const child = graph.attach(
    'file',
    `reader of ${filename}`,
    node,
    ['data'],
    childPermissions(new Set(['data']), true),
  );
  try {
    if (node.length > maxBytes) {
      throw new BlockError('invalid', `'${filename}' has ${node.length} bytes; ${maxBytes} is the most that is read`, {
        filename,
      });
    }
    const bytes = new Uint8Array(node.length);
    if (bytes.length > 0) yield* settle(child.read(0, bytes));
    return bytes;
  } finally {
    graph.detach(child);
    yield* settle(graph.remove(node.nodeName));
  }
}

/** @see FilterContext.allocatedAbove */
export function* allocatedAbove(
  child: Child,
  offset: number,
  length: number,
  bottom: string,
): Co<{ length: number; allocated: boolean }> {
  const base = below(child.node, bottom);
  const status = yield* blockStatus(child.node, offset, length, base);
  return { length: status.length, allocated: status.present };
}

/** What stands under a layer of the chain; undefined: it is the last one. */
function below(top: BlockNode, bottom: string): BlockNode | undefined {
  for (let node: BlockNode | undefined = top; node !== undefined; node = node.below) {
    if (node.nodeName === bottom) return node.below;
  }
  throw new BlockError('not-found', `Node '${bottom}' is not in the chain below '${top.nodeName}'`);
}

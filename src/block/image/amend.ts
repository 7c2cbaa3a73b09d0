/** Changing what an image was created with. */
import { settle, type Co } from '../co.ts';
import type { FormatDriver, Progress } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockGraph } from '../graph/graph.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';
import { parseOptions } from '../options.ts';

export interface AmendSettings {
  readonly progress?: Progress;
  /** Change what should rather not be touched. QEMU: `--force`. */
  readonly force?: boolean;
}

/**
 * Amends an image while no request reaches it.
 *
 * @param options with qemu-img's names (`-o`)
 * @throws BlockError `unsupported` for formats and changes that cannot be, `invalid` for options, both in qemu-img's words;
 *   `permission` for a read-only image
 */
export function* amendImage(
  graph: BlockGraph,
  node: BlockNode,
  options: Readonly<Record<string, unknown>>,
  { progress, force = false }: AmendSettings = {},
): Co<void> {
  if (!(node instanceof ImageNode) || node.driver.amendOptions === undefined || node.image.amend === undefined) {
    throw new BlockError('unsupported', `Format driver '${node.driver.name}' does not support option amendment`, {
      node: node.nodeName,
    });
  }
  const parsed = parseAmendOptions(node.driver, options);
  if (node.readOnly) {
    throw new BlockError('permission', 'A read-only image cannot be amended', { node: node.nodeName, op: 'amend' });
  }
  const { image } = node;
  const context = {
    progress,
    force,
    secret: (id: string) => graph.secrets.require(id),
    resize: (size: number) => node.truncate(size),
  };
  yield* graph.drained(node, function* () {
    try {
      yield* settle(image.amend!(parsed, context));
    } finally {
      // What was done may have moved things, even if it did not come to its end.
      graph.clock.generation++;
    }
  });
}

function parseAmendOptions(
  driver: FormatDriver,
  given: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const schema = driver.amendOptions!;
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(schema, name)) continue;
    const createOnly = Object.hasOwn(driver.createOptions, name)
      ? '\nThis option is only supported for image creation'
      : '';
    throw new BlockError('invalid', `Invalid parameter '${name}'${createOnly}`);
  }
  return parseOptions(schema, given, `amending '${driver.name}'`);
}

/** Looking at a file to see what it is. Nothing that it names is opened. */
import { settle, type Co } from '../co.ts';
import type { BlockdevOptions } from '../driver.ts';
import type { BlockGraph } from '../graph/graph.ts';
import { fileOf } from '../graph/identity.ts';
import { childPermissions } from '../graph/permission.ts';
import { probeFormats, readProbeInput, type ProbeResult } from '../probe.ts';
import { parseFilename } from '../registry.ts';

export interface ImageProbe extends ProbeResult {
  readonly filename: string;
  /** Bytes of the file. */
  readonly size: number;
}

/**
 * Finds out what format a file has.
 *
 * @param file options of a protocol node, or a file name
 * @returns the best format with its score of 0 to 100, and all others that found something
 * @throws BlockError when the file cannot be opened or read
 */
export function* probeImage(graph: BlockGraph, file: BlockdevOptions | string): Co<ImageProbe> {
  const options = typeof file === 'string' ? parseFilename(graph.drivers, file) : file;
  const node = yield* settle(graph.add({ ...options, 'read-only': true }, { asFile: true }));
  const child = graph.attach('file', 'probe', node, ['data'], childPermissions(new Set(['data']), true));
  try {
    const filename = fileOf(node)?.filename ?? '';
    const input = yield* readProbeInput(child, filename);
    return { ...probeFormats(graph.drivers.formats, input), filename, size: input.size };
  } finally {
    graph.detach(child);
    yield* settle(graph.remove(node.nodeName));
  }
}

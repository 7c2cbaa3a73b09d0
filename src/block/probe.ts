/** Finding out what format a file has, from its first and last bytes and its name. Opens nothing that the file names. */
import { settle, type Co } from './co.ts';
import type { BlockChild, FormatDriver, ProbeInput } from './driver.ts';
import { PROBE_BYTES } from './limits.ts';

export interface ProbeScore {
  readonly format: string;
  /** 0 to 100. */
  readonly score: number;
}

export interface ProbeResult extends ProbeScore {
  /** All formats that found something, best first. */
  readonly scores: readonly ProbeScore[];
}

/** Reads what probing looks at. @param filename for formats that go by a name's ending */
export function* readProbeInput(file: BlockChild, filename: string): Co<ProbeInput> {
  const size = file.length;
  const length = Math.min(PROBE_BYTES, size);
  const head = new Uint8Array(length);
  const tail = new Uint8Array(length);
  if (length > 0) {
    yield* settle(file.read(0, head));
    yield* settle(file.read(size - length, tail));
  }
  return { head, tail, size, filename };
}

/**
 * Asks every format how sure it is. Any file is `raw` if no format knows it.
 *
 * @returns the best score and all others; the first format in the list wins a draw
 */
export function probeFormats(formats: readonly FormatDriver[], input: ProbeInput): ProbeResult {
  const scores = formats
    .map((format) => ({ format: format.name, score: format.probe(input) }))
    .filter(({ score }) => score > 0)
    .toSorted((a, b) => b.score - a.score);
  const best = scores[0] ?? { format: 'raw', score: 1 };
  return { ...best, scores };
}

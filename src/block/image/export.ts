/** The whole chain of a disk as one file, front to back: what a download needs. */
import { chain, settle, type Co, type MaybePromise } from '../co.ts';
import type { SequentialLayout } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockGraph } from '../graph/graph.ts';
import type { BlockNode } from '../graph/node.ts';
import { findFormat } from '../registry.ts';
import { imageMap } from './map.ts';

/** Guest data is read and handed out in pieces of this many bytes. */
const PIECE = 1024 * 1024;

/** A file that is made while it is read. Requests of all disks above the node wait until it is closed. */
export class ImageExport {
  /** Bytes of the whole file. */
  readonly totalBytes: number;
  readonly #pieces: Iterator<() => MaybePromise<Uint8Array>>;
  readonly #release: () => void;
  #closed = false;

  constructor(node: BlockNode, layout: SequentialLayout, data: Iterable<Run>, release: () => void) {
    this.totalBytes = layout.totalBytes;
    this.#pieces = pieces(node, layout, data);
    this.#release = release;
  }

  /** The next piece of the file, the caller's own, or undefined at its end. @throws BlockError when the disk cannot be read */
  next(): MaybePromise<Uint8Array | undefined> {
    if (this.#closed) return undefined;
    const step = this.#pieces.next();
    return step.done === true ? undefined : step.value();
  }

  /** Lets the disk go on. To be called at the end, and when the reader gave up. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release();
  }
}

/** Each piece is made when it is asked for. */
function* pieces(
  node: BlockNode,
  layout: SequentialLayout,
  data: Iterable<Run>,
): Iterator<() => MaybePromise<Uint8Array>> {
  for (const piece of layout.head()) yield () => piece;
  for (const { offset, length } of data) {
    const piece = new Uint8Array(length);
    yield () => chain(node.read(offset, piece), () => piece);
  }
}

/** Guest bytes that are stored one after the other. */
interface Run {
  readonly offset: number;
  readonly length: number;
}

/** The whole disk, zeroes too. */
function* everything(virtualSize: number): Iterable<Run> {
  for (let offset = 0; offset < virtualSize; offset += PIECE) {
    yield { offset, length: Math.min(PIECE, virtualSize - offset) };
  }
}

/** Which units of a disk hold data: one bit each. */
class DataUnits {
  readonly #bits: Uint8Array;
  readonly #count: number;
  readonly #unit: number;

  constructor(virtualSize: number, unit: number) {
    this.#unit = unit;
    this.#count = Math.ceil(virtualSize / unit);
    this.#bits = new Uint8Array(Math.ceil(this.#count / 8));
  }

  add(offset: number, length: number): void {
    const last = Math.floor((offset + length - 1) / this.#unit);
    for (let unit = Math.floor(offset / this.#unit); unit <= last; unit++) {
      this.#bits[Math.floor(unit / 8)]! |= 1 << (unit % 8);
    }
  }

  has(unit: number): boolean {
    return (this.#bits[Math.floor(unit / 8)]! & (1 << (unit % 8))) !== 0;
  }

  /** Runs of data units in order, none longer than `most` bytes (or one unit). Whole units, also at the end of the disk. */
  *runs(most: number): Iterable<Run> {
    const mostUnits = Math.max(1, Math.floor(most / this.#unit));
    for (let unit = 0; unit < this.#count;) {
      if (!this.has(unit)) {
        unit++;
        continue;
      }
      let end = unit + 1;
      while (end < this.#count && end - unit < mostUnits && this.has(end)) end++;
      yield { offset: unit * this.#unit, length: (end - unit) * this.#unit };
      unit = end;
    }
  }
}

/**
 * Begins an export. The disk stands still from now on until the export is closed, so that the file is of one moment.
 *
 * @param format a format that can be written front to back: `raw`, `qcow2`
 * @throws BlockError `unsupported` for other formats
 */
export function* openExport(graph: BlockGraph, node: BlockNode, format: string): Co<ImageExport> {
  const { sequential } = findFormat(graph.drivers, format);
  if (sequential === undefined) {
    throw new BlockError(
      'unsupported',
      `Images of the format '${format}' cannot be written as a stream; qcow2 and raw can`,
    );
  }
  const release = yield* graph.quiesceAbove(node);
  try {
    yield* settle(node.flush());
    if (sequential.storesZeroes) {
      return new ImageExport(
        node,
        sequential.layout(node.length, () => true),
        everything(node.length),
        release,
      );
    }
    const data = new DataUnits(node.length, sequential.unit);
    yield* imageMap(node, 0, node.length, ({ offset, length, zero }) => {
      if (!zero) data.add(offset, length);
    });
    const layout = sequential.layout(node.length, (unit) => data.has(unit));
    return new ImageExport(node, layout, data.runs(PIECE), release);
  } catch (error) {
    release();
    throw error;
  }
}

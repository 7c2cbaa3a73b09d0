/** How many bytes a new image takes: the facts that `qemu-img measure` prints. */
import type { Co } from '../co.ts';
import { BlockError } from '../error.ts';
import type { BlockGraph } from '../graph/graph.ts';
import { ImageNode } from '../graph/image-node.ts';
import type { BlockNode } from '../graph/node.ts';
import { blockStatus } from '../io/status.ts';
import { parseOptions } from '../options.ts';
import { findFormat } from '../registry.ts';
import { TimeSlice } from '../time-slice.ts';

/** qcow2 specification, "Bitmaps extension": a directory's entry without its name, and a table's. */
const BITMAP_ENTRY_BYTES = 24;
const BITMAP_TABLE_ENTRY_BYTES = 8;

interface BitmapFacts {
  readonly name: string;
  readonly granularity: number;
}

export interface ImageMeasure {
  /** Bytes of the file with the data that is there now. */
  readonly required: number;
  /** Bytes when every part of the disk has been written. */
  readonly fullyAllocated: number;
  /** Bytes for the bitmaps of the source, where both can have some. */
  readonly bitmaps?: number;
}

/**
 * Measures a new image without making it.
 *
 * @param format the new image's
 * @param options its create options; `size` is the source's where there is one
 * @param source a disk that would be copied into it; without one the image is empty
 * @throws BlockError `unsupported` for formats that cannot tell, `invalid` for options that no image can have
 */
export function* measureImage(
  graph: BlockGraph,
  format: string,
  options: Readonly<Record<string, unknown>>,
  source?: BlockNode,
): Co<ImageMeasure> {
  const driver = findFormat(graph.drivers, format);
  if (driver.measure === undefined) {
    throw new BlockError('unsupported', `Block driver '${format}' does not support size measurement`);
  }
  const size = source === undefined ? options['size'] : source.length;
  const parsed = parseOptions(driver.createOptions, { ...options, size }, `format '${format}'`);
  const unit = typeof parsed['cluster_size'] === 'number' ? parsed['cluster_size'] : 1;
  // The options are looked at before a disk is walked through for them.
  driver.measure(parsed, 0);
  const hasBacking = options['backing_file'] !== undefined;
  const dataBytes = source === undefined ? 0 : hasBacking ? source.length : yield* storedBytes(source, unit);
  const bitmaps = source === undefined ? undefined : bitmapBytes(source, format, unit);
  return { ...driver.measure(parsed, dataBytes), ...(bitmaps === undefined ? {} : { bitmaps }) };
}

/** A bit for each granule, rounded up to clusters, a table of the clusters, and all entries of the directory. */
function bitmapBytes(source: BlockNode, format: string, clusterSize: number): number | undefined {
  if (format !== 'qcow2' || !(source instanceof ImageNode) || source.driver.name !== 'qcow2') return undefined;
  const { specific } = source.image.info();
  if (specific['compat'] === '0.10') return undefined;
  const whole = (bytes: number): number => Math.ceil(bytes / clusterSize) * clusterSize;
  let sum = 0;
  let directory = 0;
  for (const { name, granularity } of (specific['bitmaps'] ?? []) as readonly BitmapFacts[]) {
    const data = whole(Math.ceil(source.length / granularity / 8));
    sum += data + whole((data / clusterSize) * BITMAP_TABLE_ENTRY_BYTES);
    directory += Math.ceil((BITMAP_ENTRY_BYTES + new TextEncoder().encode(name).length) / 8) * 8;
  }
  return sum + whole(directory);
}

/** Bytes of all units that hold data; a unit counts once. */
function* storedBytes(source: BlockNode, unit: number): Co<number> {
  const slice = new TimeSlice();
  let sum = 0;
  for (let offset = 0; offset < source.length;) {
    const { length, present, data, zero } = yield* blockStatus(source, offset, source.length - offset);
    let end = offset + length;
    if (present && data && !zero) {
      end = Math.ceil(end / unit) * unit;
      sum += end - (offset - (offset % unit));
    }
    offset = end;
    yield* slice.pause();
  }
  return sum;
}

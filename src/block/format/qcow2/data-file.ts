/**
 * The external data file of an image: guest clusters lie there, at their guest offsets, and the image's own file holds tables
 * only. A raw data file is kept so that it can be read as a raw image of the disk: what the tables say is zero is zero there too.
 *
 * Source: qcow2 specification, "Header" (incompatible feature bit 2, autoclear feature bit 1) and "External data file name".
 */
import { settle, type Co, type MaybePromise } from '../../co.ts';
import type { BlockChild, OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { dataFileOf, hasDataFile, type Qcow2Header } from './header.ts';
import { AUTOCLEAR_RAW_DATA_FILE } from './layout.ts';

export interface DataFile {
  readonly child: BlockChild;
  /** It must be true to the disk as a raw image. */
  readonly raw: boolean;
}

/**
 * Opens the data file of an image that has one: what the caller passed as `data-file`, or else, if the gate allows it, what the
 * header names. With `inspect` nothing is opened, and nothing can be read.
 *
 * @throws BlockError `invalid` when the image has no data file and one was passed, or has none that can be named; `denied`
 */
export function* openDataFile(
  { openReference, flags }: Pick<OpenContext, 'openReference' | 'flags'>,
  header: Qcow2Header,
  isGiven: boolean,
): Co<DataFile | undefined> {
  if (!hasDataFile(header)) {
    if (isGiven) throw new BlockError('invalid', "'data-file' can only be set for images with an external data file");
    return undefined;
  }
  const raw = (header.autoclearFeatures & AUTOCLEAR_RAW_DATA_FILE) !== 0n;
  const filename = dataFileOf(header);
  if (!isGiven && filename === undefined) {
    if (flags.inspect === true) return { child: new UnopenedFile(header.size), raw };
    throw new BlockError('invalid', "'data-file' is required for this image: its header names none");
  }
  if (flags.inspect === true) return { child: new UnopenedFile(header.size), raw };
  return { child: yield* openReference('data-file', filename === undefined ? undefined : { filename }, ['data']), raw };
}

/** Tells a file that a range is no longer needed. It is a hint: that the file cannot take it changes nothing about the image. */
export function* hintDiscard(file: BlockChild, offset: number, length: number): Co<void> {
  const inside = Math.min(length, file.length - offset);
  if (inside <= 0) return;
  try {
    yield* settle(file.discard(offset, inside));
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
  }
}

/** Stands for the data file of an image that is only looked at. */
class UnopenedFile implements BlockChild {
  readonly name = 'data-file';
  readonly nodeName = '';
  readonly readOnly = true;
  readonly synchronous = true;
  readonly length: number;

  constructor(length: number) {
    this.length = length;
  }

  read(): MaybePromise<void> {
    throw new BlockError('unsupported', 'The image was opened to be looked at only: its data file is not open');
  }

  write(): MaybePromise<void> {
    return this.read();
  }

  writeZeroes(): MaybePromise<void> {
    return this.read();
  }

  discard(): MaybePromise<void> {
    return this.read();
  }

  truncate(): MaybePromise<void> {
    return this.read();
  }

  flush(): void {
    // Nothing was written.
  }

  allocatedSize(): undefined {
    return undefined;
  }

  event(): void {
    // Nothing happens to it.
  }
}

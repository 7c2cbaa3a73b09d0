import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { CHECKSUM, CHECKSUM_CRC32, TRAILER, TRAILER_LENGTH, TRAILER_MAGIC, TRAILER_SEARCH } from './layout.ts';

export interface FileRange {
  readonly offset: number;
  readonly length: number;
}

export interface Trailer {
  /** Where offsets of chunks count from. */
  readonly dataForkOffset: number;
  /** What is to be compared with its checksum. */
  readonly dataFork: FileRange;
  /** CRC-32 of the data fork as it is in the file; undefined: it has none, or one of another kind. */
  readonly dataChecksum: number | undefined;
  readonly plist: FileRange;
  readonly resourceFork: FileRange;
}

/** @returns where the trailer begins in the last bytes of a file, or -1 */
export function findTrailer(tail: Uint8Array): number {
  for (let at = tail.length - TRAILER_LENGTH; at >= Math.max(0, tail.length - TRAILER_SEARCH); at--) {
    if (textAt(tail, at, 4) === TRAILER_MAGIC) return at;
  }
  return -1;
}

/** @throws BlockError `corrupt` when there is none, or what it names is not in the file; `unsupported` for one part of several */
export function* readTrailer(file: BlockChild): Co<Trailer> {
  const tail = new Uint8Array(Math.min(TRAILER_SEARCH, file.length));
  yield* settle(file.read(file.length - tail.length, tail));
  const at = findTrailer(tail);
  if (at < 0) {
    throw new BlockError(
      'corrupt',
      "This is no dmg image: it has no 'koly' trailer at its end. A read/write disk image (UDRW) has none; open it as raw",
    );
  }
  const view = new DataView(tail.buffer, at, TRAILER_LENGTH);
  const headerSize = view.getUint32(TRAILER.headerSize);
  if (headerSize !== TRAILER_LENGTH)
    throw new BlockError('corrupt', `The dmg trailer says that it has ${headerSize} bytes`);
  const segments = view.getUint32(TRAILER.segmentCount);
  if (segments > 1) {
    throw new BlockError('unsupported', `The dmg image is one of ${segments} parts: join them first (hdiutil convert)`);
  }
  const dataFork = rangeOf(view, 'data fork', TRAILER.dataForkOffset, file.length);
  return {
    dataForkOffset: dataFork.offset,
    dataFork,
    dataChecksum: readCrc32(view, TRAILER.dataChecksum),
    plist: rangeOf(view, 'property list', TRAILER.plistOffset, file.length),
    resourceFork: rangeOf(view, 'resource fork', TRAILER.resourceForkOffset, file.length),
  };
}

/** An offset, and the length behind it. */
function rangeOf(view: DataView, what: string, at: number, fileLength: number): FileRange {
  const offset = view.getBigUint64(at);
  const length = view.getBigUint64(at + 8);
  if (offset + length > BigInt(fileLength)) {
    throw new BlockError(
      'corrupt',
      `The dmg trailer says that the ${what} has ${length} bytes at ${offset}; the file has ${fileLength}: it is not all there`,
    );
  }
  return { offset: Number(offset), length: Number(length) };
}

/** @returns the checksum at a place, or undefined when it is no CRC-32 */
export function readCrc32(view: DataView, at: number): number | undefined {
  const isCrc32 = view.getUint32(at + CHECKSUM.type) === CHECKSUM_CRC32 && view.getUint32(at + CHECKSUM.bits) === 32;
  return isCrc32 ? view.getUint32(at + CHECKSUM.value) : undefined;
}

export function textAt(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

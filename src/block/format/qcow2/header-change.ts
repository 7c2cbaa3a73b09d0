/**
 * Rewriting the header with other extensions: another backing file, another identity of it.
 *
 * What changes may be longer than a sector, so no single write can be trusted to change it whole. A name always goes where the
 * old header has nothing; it is written first, then the first sector, which switches to it, and what is left of the old name is
 * wiped last. So a power cut leaves the old name or the new one. An extension that is added goes to the end. Only when extensions
 * behind the first sector move can one in the middle of this operation leave extensions that are neither: QEMU's way of writing
 * them has the same weakness.
 */
import { settle, type Co } from '../../co.ts';
import type { FileReference } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { extensionsLength, withExtension } from './extensions.ts';
import { clusterSizeOf, encodeHeader, placeBackingFile, type Qcow2Header } from './header.ts';
import { EXTENSION, MAX_BACKING_FILE_BYTES, MAX_BACKING_FORMAT_BYTES, MAX_BACKING_IDENTITY_BYTES } from './layout.ts';
import type { Metadata } from './metadata.ts';

/**
 * @see FormatImage.changeBackingFile
 * @throws BlockError `invalid` when name or format are too long for the header
 */
export function* changeBackingFile(metadata: Metadata, reference: FileReference | undefined): Co<void> {
  const encoder = new TextEncoder();
  const name = reference === undefined ? undefined : encoder.encode(reference.filename);
  const format = reference?.format === undefined ? undefined : encoder.encode(reference.format);
  if (name?.length === 0) throw new BlockError('invalid', 'The name of a backing file cannot be empty');
  checkLength('name of the backing file', name, MAX_BACKING_FILE_BYTES);
  checkLength('name of the backing format', format, MAX_BACKING_FORMAT_BYTES);
  yield* rewrite(metadata, (header) => ({
    ...header,
    backingFileName: name,
    // What was remembered is about another file.
    extensions: withExtension(
      withExtension(header.extensions, EXTENSION.backingFormat, format, 'first'),
      EXTENSION.backingIdentity,
      undefined,
      'last',
    ),
  }));
}

/**
 * @see FormatImage.setBackingIdentity
 * @throws BlockError `invalid` when the text is too long for the header
 */
export function* setBackingIdentity(metadata: Metadata, identity: string): Co<void> {
  const data = new TextEncoder().encode(identity);
  checkLength('identity of the backing file', data, MAX_BACKING_IDENTITY_BYTES);
  yield* rewrite(metadata, (header) => ({
    ...header,
    extensions: withExtension(header.extensions, EXTENSION.backingIdentity, data, 'last'),
  }));
}

function checkLength(what: string, data: Uint8Array | undefined, limit: number): void {
  if (data === undefined || data.length <= limit) return;
  throw new BlockError('invalid', `The ${what} takes ${data.length} bytes; a qcow2 header has room for ${limit}`);
}

function* rewrite(metadata: Metadata, change: (header: Qcow2Header) => Qcow2Header): Co<void> {
  yield* metadata.lock.run(() => rewriteHeader(metadata, change));
}

/**
 * Writes a header with other extensions, another name of the backing file or other fields, in the order that the head of this file
 * describes. Everything else that waits is written before. Under the metadata lock.
 *
 * @throws BlockError `invalid` when it does not fit into a cluster, and what the storage throws; then the image has the old header
 */
export function* rewriteHeader(metadata: Metadata, change: (header: Qcow2Header) => Qcow2Header): Co<void> {
  metadata.assertWritable();
  yield* metadata.writeBack();
  const end = extensionsEnd(change(metadata.header));
  const { backingFileName: name, backingFileOffset: start } = metadata.header;
  if (name !== undefined && start < end) {
    // The extensions will reach where the name is now: first it alone moves, if there is room.
    const free = Math.max(end, headerEnd(metadata.header));
    if (free + name.length <= clusterSizeOf(metadata.header)) {
      yield* switchTo(metadata, placeBackingFile(metadata.header, free));
    }
  }
  yield* switchTo(metadata, placeName(metadata.header, change(metadata.header)));
}

/**
 * As `rewriteHeader`, for a change of how the rest of the file is to be read. When it fails on the way nobody knows which header is
 * on the disk, so nothing more is written to the image: it is as it was before, or as it was to be.
 */
export function* switchHeader(metadata: Metadata, change: (header: Qcow2Header) => Qcow2Header): Co<void> {
  yield* metadata.writeBack();
  try {
    yield* rewriteHeader(metadata, change);
  } catch (error) {
    // One that does not fit was not begun.
    if (!(error instanceof BlockError) || error.kind !== 'invalid') metadata.stopWriting(error);
    throw error;
  }
}

function* switchTo(metadata: Metadata, header: Qcow2Header): Co<void> {
  const { file, header: before } = metadata;
  const length = Math.max(headerEnd(before), headerEnd(header));
  // Up to the end of what the old header used, so that nothing of it is left.
  const old = new Uint8Array(length);
  yield* settle(file.read(0, old));
  const final = new Uint8Array(length);
  final.set(encodeHeader(header));
  const between = keepOldName(final, before, header);
  yield* writeSectors(metadata, old, between);
  // From here on the new header counts, even if the old name cannot be wiped.
  metadata.adoptHeader(header);
  yield* writeSectors(metadata, between, final);
}

/** Where a header ends that is written by `encodeHeader`. */
function headerEnd(header: Qcow2Header): number {
  return encodeHeader(header).length;
}

/** Where the end marker behind the extensions ends. */
function extensionsEnd(header: Qcow2Header): number {
  return header.headerLength + extensionsLength(header.extensions);
}

/**
 * A name that stays the same stays where it is, if the extensions end before. Another goes behind everything that the old header
 * uses, or, where there is no room, right behind the extensions.
 */
function placeName(before: Qcow2Header, header: Qcow2Header): Qcow2Header {
  const { backingFileName: name, backingFileOffset: start } = before;
  const end = extensionsEnd(header);
  const isSame = name !== undefined && name === header.backingFileName && end <= start;
  const behind = isSame ? start : Math.max(headerEnd(before), end);
  const fits = behind + (header.backingFileName?.length ?? 0) <= clusterSizeOf(header);
  return placeBackingFile(header, fits ? behind : 0);
}

/** The new header with the old name still in its place, if nothing of the new one is there. */
function keepOldName(final: Uint8Array<ArrayBuffer>, before: Qcow2Header, after: Qcow2Header): Uint8Array<ArrayBuffer> {
  const { backingFileName: name, backingFileOffset: start } = before;
  if (name === undefined || start < extensionsEnd(after)) return final;
  if (after.backingFileName !== undefined && after.backingFileOffset < start + name.length) return final;
  const between = final.slice();
  between.set(name, start);
  return between;
}

/**
 * Writes the sectors that differ from the last to the first, each flushed before the next: an extension that is added at the end is
 * on the disk before anything leads to it, and the first sector, with all fields, comes last.
 */
function* writeSectors({ file }: Metadata, old: Uint8Array, bytes: Uint8Array): Co<void> {
  for (let at = bytes.length - (bytes.length % SECTOR_SIZE); at >= 0; at -= SECTOR_SIZE) {
    const sector = bytes.subarray(at, at + SECTOR_SIZE);
    if (sector.every((byte, index) => byte === old[at + index])) continue;
    yield* settle(file.write(at, sector));
    yield* settle(file.flush());
  }
}

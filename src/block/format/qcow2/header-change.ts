/**
 * Rewriting the header with other extensions: another backing file, another identity of it.
 *
 * A power cut may leave any sector of what was written old or new, so what changes in one sector is written there at once. What
 * changes in several goes a detour: behind everything that the old header uses, the new extensions and the new name are written
 * first. Then the first sector switches to them: in it a header extension of a type that says nothing covers all that lies between.
 * Now the old place of the extensions is free. It gets what belongs there, and the first sector switches once more. At each
 * moment the first sector leads to what is whole.
 *
 * Clusters too small for both copies (of 1 or 2 KiB, with long names) leave no such way. There the sectors are written from the
 * last to the first, as QEMU does it, and a power cut among them can leave a header that is neither. Nothing but a caller's own
 * wish to change the backing file or the bitmaps does that; the identity of a backing file is then not stored.
 */
import { settle, type Co } from '../../co.ts';
import type { FileReference } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { extensionsLength, withExtension } from './extensions.ts';
import { clusterSizeOf, encodeFields, encodeHeader, placeBackingFile, type Qcow2Header } from './header.ts';
import {
  EXTENSION,
  EXTENSION_HEADER_LENGTH,
  MAX_BACKING_FILE_BYTES,
  MAX_BACKING_FORMAT_BYTES,
  MAX_BACKING_IDENTITY_BYTES,
} from './layout.ts';
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
 * Where the header has no room for the identity, or none to store it without danger, it is not stored.
 *
 * @see FormatImage.setBackingIdentity
 * @throws BlockError `invalid` when the text is longer than any identity
 */
export function* setBackingIdentity(metadata: Metadata, identity: string): Co<void> {
  const data = new TextEncoder().encode(identity);
  checkLength('identity of the backing file', data, MAX_BACKING_IDENTITY_BYTES);
  const change = (header: Qcow2Header): Qcow2Header => ({
    ...header,
    extensions: withExtension(header.extensions, EXTENSION.backingIdentity, data, 'last'),
  });
  yield* metadata.lock.run(function* () {
    metadata.assertWritable();
    if (canChangeSafely(metadata.header, change(metadata.header))) yield* rewriteHeader(metadata, change);
  });
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
 * @throws BlockError `invalid` when it does not fit into a cluster, and what the storage throws; `metadata.header` says then whether
 *   the image has the old header or the new one
 */
export function* rewriteHeader(metadata: Metadata, change: (header: Qcow2Header) => Qcow2Header): Co<void> {
  metadata.assertWritable();
  yield* metadata.writeBack();
  const before = metadata.header;
  const after = placeBackingFile(withoutCover(change(before)));
  const detour = detourOf(before, after);
  const area = new Uint8Array(sectorEnd(Math.max(headerEnd(before), headerEnd(detour ?? after))));
  yield* settle(metadata.file.read(0, area));
  const final = encoded(after, area.length);
  if (changedSectors(area, final).length <= 1) yield* writeSectors(metadata, area, final);
  else if (detour === undefined) yield* writeBackwards(metadata, area, final);
  else {
    yield* goAround(metadata, area, detour, after);
    return;
  }
  metadata.adoptHeader(after);
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

/**
 * Changes fields of the header with one write of its first sector, which holds them all. What they lead to must be on stable storage.
 * When it fails the header is made what it was; if that fails too, nobody knows which one is on the disk, and nothing more is written.
 *
 * @throws BlockError what the storage throws
 */
export function* switchFields(metadata: Metadata, changes: Partial<Qcow2Header>): Co<void> {
  const after = { ...metadata.header, ...changes };
  const before = new Uint8Array(SECTOR_SIZE);
  yield* settle(metadata.file.read(0, before));
  const bytes = before.slice();
  bytes.set(encodeFields(after).subarray(0, SECTOR_SIZE));
  yield* writeFirstSector(metadata, before, bytes);
  metadata.adoptHeader(after);
}

/** Two switches of the first sector, each to what lies where the header before has nothing. */
function* goAround(metadata: Metadata, area: Uint8Array, detour: Qcow2Header, after: Qcow2Header): Co<void> {
  const covered = coverEnd(detour);
  const around = encoded(detour, area.length);
  around.set(area.subarray(SECTOR_SIZE, covered), SECTOR_SIZE);
  yield* writeSectors(metadata, area, around);
  metadata.adoptHeader(detour);
  // From here on the change is made, whatever else fails.
  const final = encoded(after, area.length);
  const both = final.slice();
  both.set(around.subarray(covered), covered);
  yield* writeSectors(metadata, area, both);
  metadata.adoptHeader(after);
  yield* writeSectors(metadata, area, final);
}

/** The new header with everything that is longer than its fields behind all that either of the two uses; undefined: no room. */
function detourOf(before: Qcow2Header, after: Qcow2Header): Qcow2Header | undefined {
  const start = after.headerLength + EXTENSION_HEADER_LENGTH;
  const behind = sectorEnd(Math.max(headerEnd(before), headerEnd(after)));
  if (start > SECTOR_SIZE) return undefined;
  const cover = { type: EXTENSION.cover, data: new Uint8Array(behind - start) };
  const detour = { ...after, extensions: [cover, ...after.extensions] };
  const end = extensionsEnd(detour) + (after.backingFileName?.length ?? 0);
  return end <= clusterSizeOf(after) ? placeBackingFile(detour) : undefined;
}

function canChangeSafely(before: Qcow2Header, changed: Qcow2Header): boolean {
  const after = withoutCover(changed);
  const end = extensionsEnd(after) + (after.backingFileName?.length ?? 0);
  if (end > clusterSizeOf(after)) return false;
  return Math.max(end, headerEnd(before)) <= SECTOR_SIZE || detourOf(before, placeBackingFile(after)) !== undefined;
}

/** A power cut may have left the cover of a detour. */
function withoutCover(header: Qcow2Header): Qcow2Header {
  return { ...header, extensions: withExtension(header.extensions, EXTENSION.cover, undefined, 'first') };
}

/** Where the cover of a detour ends, which is its first extension. */
function coverEnd({ headerLength, extensions }: Qcow2Header): number {
  return headerLength + EXTENSION_HEADER_LENGTH + extensions[0]!.data.length;
}

/** Where a header ends that is written by `encodeHeader`. */
function headerEnd(header: Qcow2Header): number {
  return encodeHeader(header).length;
}

/** Where the end marker behind the extensions ends. */
function extensionsEnd(header: Qcow2Header): number {
  return header.headerLength + extensionsLength(header.extensions);
}

function sectorEnd(offset: number): number {
  return Math.ceil(offset / SECTOR_SIZE) * SECTOR_SIZE;
}

/** A header with zeroes behind it. */
function encoded(header: Qcow2Header, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  bytes.set(encodeHeader(header));
  return bytes;
}

/** Where the sectors begin in which two areas differ, in order. */
function changedSectors(before: Uint8Array, after: Uint8Array): number[] {
  const changed: number[] = [];
  for (let at = 0; at < after.length; at += SECTOR_SIZE) {
    const sector = after.subarray(at, at + SECTOR_SIZE);
    if (sector.some((byte, index) => byte !== before[at + index])) changed.push(at);
  }
  return changed;
}

/** Writes the sectors that differ and notes them in `area`: first all others, which nothing may lead to yet, then the first one. */
function* writeSectors(metadata: Metadata, area: Uint8Array, bytes: Uint8Array): Co<void> {
  const { file } = metadata;
  const changed = changedSectors(area, bytes);
  const others = changed.filter((at) => at > 0);
  for (const at of others) yield* settle(file.write(at, bytes.subarray(at, at + SECTOR_SIZE)));
  if (others.length > 0) yield* settle(file.flush());
  if (changed[0] === 0) yield* writeFirstSector(metadata, area.slice(0, SECTOR_SIZE), bytes.subarray(0, SECTOR_SIZE));
  area.set(bytes);
}

function* writeFirstSector(metadata: Metadata, before: Uint8Array, bytes: Uint8Array): Co<void> {
  const { file } = metadata;
  try {
    yield* settle(file.write(0, bytes));
    yield* settle(file.flush());
  } catch (error) {
    yield* restoreFirstSector(metadata, before, error);
    throw error;
  }
}

/** Of a write that failed nobody knows whether it is on the disk: the fields of one header must not get into the other. */
function* restoreFirstSector(metadata: Metadata, before: Uint8Array, cause: unknown): Co<void> {
  try {
    yield* settle(metadata.file.write(0, before));
    yield* settle(metadata.file.flush());
  } catch {
    metadata.stopWriting(cause);
  }
}

/** Each sector flushed before the next, so that the first one, with all fields, comes last. */
function* writeBackwards({ file }: Metadata, area: Uint8Array, bytes: Uint8Array): Co<void> {
  for (const at of changedSectors(area, bytes).toReversed()) {
    yield* settle(file.write(at, bytes.subarray(at, at + SECTOR_SIZE)));
    yield* settle(file.flush());
  }
}

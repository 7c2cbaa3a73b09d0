/**
 * Rewriting the header with other extensions: another backing file, another identity of it.
 *
 * What changes may be longer than a sector, so no single write can be trusted to change it whole. A name always goes where the
 * old header has nothing; it is written first, then the first sector, which switches to it, and what is left of the old name is
 * wiped last. So a power cut leaves the old name or the new one. Only when extensions behind the first sector move as well can
 * one in the middle of this operation leave extensions that are neither: QEMU's way of writing them has the same weakness.
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
  yield* metadata.lock.run(function* () {
    metadata.assertWritable();
    yield* metadata.writeBack();
    const old = encodeHeader(metadata.header);
    const header = placeName(change(metadata.header), old.length);
    const bytes = encodeHeader(header);
    // Up to the end of what the old header used, so that nothing of it is left.
    const final = new Uint8Array(Math.max(old.length, bytes.length));
    final.set(bytes);
    const between = keepOldName(final, metadata.header, header);
    yield* writeFrom(metadata, SECTOR_SIZE, old, between);
    yield* writeFrom(metadata, 0, old, between.subarray(0, SECTOR_SIZE));
    // From here on the new header counts, even if the old name cannot be wiped.
    metadata.adoptHeader(header);
    yield* writeFrom(metadata, 0, between, final);
  });
}

/** The name goes behind everything that the old header uses, or, where there is no room, right behind the extensions. */
function placeName(header: Qcow2Header, oldLength: number): Qcow2Header {
  const extensionsEnd = header.headerLength + extensionsLength(header.extensions);
  const behind = Math.max(oldLength, extensionsEnd);
  const fits = behind + (header.backingFileName?.length ?? 0) <= clusterSizeOf(header);
  return placeBackingFile(header, fits ? behind : 0);
}

/** The new header with the old name still in its place, if nothing of the new one is there. */
function keepOldName(final: Uint8Array<ArrayBuffer>, before: Qcow2Header, after: Qcow2Header): Uint8Array<ArrayBuffer> {
  const { backingFileName: name, backingFileOffset: start } = before;
  const extensionsEnd = after.headerLength + extensionsLength(after.extensions);
  if (name === undefined || start < extensionsEnd) return final;
  if (after.backingFileName !== undefined && after.backingFileOffset < start + name.length) return final;
  const between = final.slice();
  between.set(name, start);
  return between;
}

/** Writes and flushes the sectors of `bytes` from an offset on, unless they are the same as in `old`. */
function* writeFrom({ file }: Metadata, from: number, old: Uint8Array, bytes: Uint8Array): Co<void> {
  const isSame = bytes.every((byte, index) => index < from || byte === (old[index] ?? 0));
  if (isSame) return;
  yield* settle(file.write(from, bytes.subarray(from)));
  yield* settle(file.flush());
}

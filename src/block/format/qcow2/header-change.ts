/**
 * Rewriting the header with other extensions: another backing file, another identity of it.
 *
 * The part of the header that changes may be longer than a sector, so no single write can be trusted to change it whole. What
 * the old header does not use is written first; the first sector, which switches to it, comes last. A name always goes to a
 * place where the old one is not. When extensions in later sectors move too, a power cut in the middle of this one operation
 * can still leave a header of which only the fields are right: QEMU has the same weakness.
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
    const padded = new Uint8Array(Math.min(Math.max(old.length, bytes.length), clusterSizeOf(header)));
    padded.set(bytes);
    yield* writeLaterSectors(metadata, old, padded);
    yield* settle(metadata.file.write(0, padded.subarray(0, SECTOR_SIZE)));
    yield* settle(metadata.file.flush());
    metadata.adoptHeader(header);
  });
}

/** The name goes behind everything that the old header uses, or, where there is no room, right behind the extensions. */
function placeName(header: Qcow2Header, oldLength: number): Qcow2Header {
  const extensionsEnd = header.headerLength + extensionsLength(header.extensions);
  const behind = Math.max(oldLength, extensionsEnd);
  const fits = behind + (header.backingFileName?.length ?? 0) <= clusterSizeOf(header);
  return placeBackingFile(header, fits ? behind : 0);
}

function* writeLaterSectors({ file }: Metadata, old: Uint8Array, bytes: Uint8Array): Co<void> {
  if (bytes.length <= SECTOR_SIZE) return;
  const unchanged = bytes.every((byte, index) => index < SECTOR_SIZE || byte === (old[index] ?? 0));
  if (unchanged) return;
  yield* settle(file.write(SECTOR_SIZE, bytes.subarray(SECTOR_SIZE)));
  yield* settle(file.flush());
}

/** Unpacking an image from a gzip, xz or zip file into a file of its own, as a stream. */
import type { ByteSource } from '../../codec/byte-source.ts';
import { crc32 } from '../../codec/crc32.ts';
import { InflateSource } from '../../codec/inflate-source.ts';
import { settle, type Co } from '../co.ts';
import type { BlockChild, BlockdevOptions, Progress } from '../driver.ts';
import { BlockError, withContext } from '../error.ts';
import type { BlockGraph } from '../graph/graph.ts';
import { fileOf } from '../graph/identity.ts';
import { childPermissions } from '../graph/permission.ts';
import { isZero } from '../io/buffers.ts';
import { parseFilename } from '../registry.ts';
import { findArchive, type Archive, type FoundArchive } from './archive/kind.ts';
import { PackedFile } from './archive/packed-file.ts';
import { XzStreams } from './archive/xz-streams.ts';
import { METHOD_DEFLATE, METHOD_STORED, packedOffset } from './archive/zip.ts';
import { makeImage, type MadeImage } from './create.ts';

export type { Archive, ArchiveKind } from './archive/kind.ts';

export interface UnpackSettings {
  /** Bytes that it may become. More than that is refused, whatever the file says of itself. */
  readonly limit: number;
  /** Of a zip file: which file; default: the largest. */
  readonly entry?: string | undefined;
  /** Write over a file that exists. Default: no. */
  readonly overwrite?: boolean;
  /** Of packed bytes. */
  readonly progress?: Progress | undefined;
}

/**
 * Looks whether a file is one that can be unpacked.
 *
 * @returns undefined when it is none
 * @throws BlockError `corrupt`, `not-found` for a zip file without files, and what the storage reports
 */
export function* probeArchive(graph: BlockGraph, file: BlockdevOptions | string): Co<Archive | undefined> {
  return yield* withFile(graph, file, true, function* (child, filename) {
    const found = yield* findArchive(child, filename);
    if (found === undefined) return undefined;
    const { entry: _entry, streams: _streams, ...archive } = found;
    return archive;
  });
}

/**
 * Unpacks the image in a file. Memory is bounded whatever the file is; places that are zero are not written. What was unpacked is
 * on stable storage when it returns.
 *
 * @param target options of the file that is made
 * @returns bytes of the image
 * @throws BlockError `invalid` for a file that is no archive, or that becomes more than `limit` bytes; `corrupt`, `unsupported`,
 *   `exists`, `no-space`, `aborted`; there is no file then
 */
export function* unpackImage(
  graph: BlockGraph,
  file: BlockdevOptions | string,
  target: BlockdevOptions & { readonly driver: string },
  settings: UnpackSettings,
): Co<number> {
  return yield* withFile(graph, file, true, function* (packed, filename) {
    try {
      const archive = yield* findArchive(packed, filename, settings.entry);
      if (archive === undefined) throw new BlockError('invalid', `'${filename}' is no gzip, xz or zip file`);
      refuseLarge(archive.size ?? 0, settings.limit, 'says that it becomes');
      const source = yield* openSource(packed, archive);
      const made = yield* makeImage(graph, target, { overwrite: settings.overwrite === true });
      return yield* unpackInto(graph, { target, made }, source, archive, settings);
    } catch (error) {
      throw withContext(error, { op: 'unpack', filename });
    }
  });
}

function* unpackInto(
  graph: BlockGraph,
  { target, made }: { readonly target: BlockdevOptions; readonly made: MadeImage },
  source: OpenedSource,
  archive: FoundArchive,
  settings: UnpackSettings,
): Co<number> {
  try {
    try {
      return yield* withFile(graph, target, false, (child) => copyStream(source, child, archive, settings));
    } finally {
      yield* settle(source.unpacked.close?.());
    }
  } catch (error) {
    // Half an image is worth nothing, and it was not there before.
    yield* made.delete();
    throw error;
  }
}

interface OpenedSource {
  /** How far the file has been read. */
  readonly packed: { readonly position: number };
  readonly unpacked: ByteSource;
}

function* openSource(file: BlockChild, { streams, entry }: FoundArchive): Co<OpenedSource> {
  if (entry === undefined) {
    if (streams !== undefined) {
      const unpacked = new XzStreams(file, streams);
      return { packed: unpacked, unpacked };
    }
    const packed = new PackedFile(file, 0, file.length);
    return { packed, unpacked: new InflateSource(packed, 'gzip') };
  }
  if (entry.encrypted) throw new BlockError('unsupported', `'${entry.name}' in the zip file is encrypted`);
  if (entry.method !== METHOD_STORED && entry.method !== METHOD_DEFLATE) {
    throw new BlockError(
      'unsupported',
      `'${entry.name}' in the zip file is packed with method ${entry.method}; deflate and none can be read`,
    );
  }
  const packed = new PackedFile(file, yield* packedOffset(file, entry), entry.packed);
  return { packed, unpacked: entry.method === METHOD_STORED ? packed : new InflateSource(packed, 'deflate') };
}

function* copyStream(
  { packed, unpacked }: OpenedSource,
  target: BlockChild,
  archive: FoundArchive,
  { limit, progress }: UnpackSettings,
): Co<number> {
  let size = 0;
  let sum = 0;
  for (;;) {
    const piece = yield* settle(unpacked.next());
    if (piece === undefined) break;
    refuseLarge(size + piece.length, limit, 'becomes');
    if (archive.entry !== undefined) sum = crc32(piece, sum);
    if (!isZero(piece)) yield* settle(target.write(size, piece));
    size += piece.length;
    progress?.report(packed.position, archive.packedSize);
  }
  const { entry } = archive;
  if (entry !== undefined && (size !== entry.size || sum !== entry.crc)) {
    throw new BlockError(
      'corrupt',
      `'${entry.name}' in the zip file became ${size} bytes with the checksum ${sum}, and should be ${entry.size} with ${entry.crc}`,
    );
  }
  if (target.length < size) yield* settle(target.truncate(size));
  yield* settle(target.flush());
  progress?.report(archive.packedSize, archive.packedSize);
  return size;
}

function refuseLarge(size: number, limit: number, verb: string): void {
  if (size <= limit) return;
  throw new BlockError(
    'invalid',
    `The packed image ${verb} ${size} bytes or more, and ${limit} is the limit that was given: allow more if that is meant`,
    { detail: { limit } },
  );
}

function* withFile<T>(
  graph: BlockGraph,
  file: BlockdevOptions | string,
  readOnly: boolean,
  body: (child: BlockChild, filename: string) => Co<T>,
): Co<T> {
  const options = typeof file === 'string' ? parseFilename(graph.drivers, file) : file;
  const node = yield* settle(graph.add({ ...options, 'read-only': readOnly }, { asFile: true }));
  try {
    const child = graph.attach('file', 'unpack', node, ['data'], childPermissions(new Set(['data']), readOnly));
    try {
      return yield* body(child, fileOf(node)?.filename ?? '');
    } finally {
      graph.detach(child);
    }
  } finally {
    yield* settle(graph.remove(node.nodeName));
  }
}

/** Opening: which of the kinds of VMDK a file is, and the extents that its descriptor names. */
import { settle, type Co } from '../../co.ts';
import type { BlockChild, FormatImage, OpenContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { CompressedGrains } from './compressed-grains.ts';
import { extentsOf, withoutDescriptor, type ExtentLine } from './descriptor.ts';
import { DescriptorFile } from './descriptor-file.ts';
import { ClosedExtent, FlatExtent, ZeroExtent, type DiskExtent, type ExtentFacts } from './disk-extent.ts';
import { VmdkImage, type OpenedExtent } from './image.ts';
import { magicOf, readSparseHeader, type SparseHeader } from './sparse-header.ts';
import { SeSparseExtent } from './se-sparse.ts';
import { SparseExtent } from './sparse-extent.ts';
import { SparseTables } from './tables.ts';

/** Grain tables of an image that are held in memory, bytes; its extents share them. */
const CACHE_BYTES = 8 * 2 ** 20;

/** What a descriptor in a file of its own may describe, as QEMU reads it. */
const DESCRIBED_TYPES: ReadonlySet<string> = new Set([
  'monolithicFlat',
  'vmfs',
  'vmfsSparse',
  'seSparse',
  'twoGbMaxExtentSparse',
  'twoGbMaxExtentFlat',
]);

/**
 * Opens an image, and its extents by the gate.
 *
 * @throws BlockError `corrupt`, `unsupported`, and for extents what `openReference` throws
 */
export function* openImage(context: OpenContext): Co<FormatImage> {
  const { file } = context;
  const head = new Uint8Array(4);
  yield* settle(file.read(0, head));
  if (magicOf(head) === undefined) return yield* openDescribed(context, yield* DescriptorFile.read(file, 0));
  const header = yield* readSparseHeader(file);
  if (header.descriptorOffset === 0) throw withoutDescriptor();
  const descriptor = yield* DescriptorFile.read(file, header.descriptorOffset, header.descriptorSize);
  if (header.capacity === 0 && extentsOf(descriptor.descriptor).length > 0) {
    return yield* openDescribed(context, descriptor);
  }
  const facts: ExtentFacts = { filename: file.filename ?? '', format: '' };
  const extent = yield* openSparse(context, file, header, header.capacity, facts, CACHE_BYTES);
  return makeImage(context, [extent], descriptor);
}

function* openDescribed(context: OpenContext, descriptor: DescriptorFile): Co<FormatImage> {
  const { createType } = descriptor.descriptor;
  if (!DESCRIBED_TYPES.has(createType)) {
    throw new BlockError('unsupported', `Unsupported image type '${createType}' in a descriptor`);
  }
  const extents = extentsOf(descriptor.descriptor);
  const cacheBytes = CACHE_BYTES / Math.max(1, extents.length);
  const opened: DiskExtent[] = [];
  for (const [index, line] of extents.entries()) {
    opened.push(yield* openLine(context, line, `extents.${index}`, cacheBytes));
  }
  return makeImage(context, opened, descriptor);
}

function* openLine(context: OpenContext, line: ExtentLine, name: string, cacheBytes: number): Co<DiskExtent> {
  const { access, filename, length, type } = line;
  if (type === 'ZERO') return new ZeroExtent(length);
  const named: ExtentFacts = { filename, format: type };
  if (access === 'NOACCESS') return new ClosedExtent(length, named, 'the descriptor says NOACCESS');
  const isFlat = type === 'FLAT' || type === 'VMFS';
  const file = yield* openFile(context, line, name, isFlat);
  if (file === undefined) return new ClosedExtent(length, named, 'the image was opened to be looked at only');
  const facts: ExtentFacts = { filename: file.filename ?? filename, format: type };
  if (type === 'SESPARSE') {
    refuseWriting(context, filename, 'SESPARSE extents are only read');
    return yield* SeSparseExtent.open(file, length, facts, cacheBytes);
  }
  if (!isFlat) {
    const header = yield* readSparseHeader(file);
    if (length > header.capacity) {
      const message = `The extent '${filename}' should have ${length} bytes, and its header says ${header.capacity}`;
      throw new BlockError('corrupt', message);
    }
    return yield* openSparse(context, file, header, length, facts, cacheBytes, readOnly(line));
  }
  if (line.offset + length > file.length) {
    const message = `The extent '${filename}' should have ${length} bytes from ${line.offset} on, and the file has ${file.length}`;
    throw new BlockError('corrupt', message);
  }
  return new FlatExtent(file, line.offset, length, facts, readOnly(line));
}

function readOnly({ access }: ExtentLine): string | undefined {
  return access === 'RDONLY' ? 'the descriptor says RDONLY' : undefined;
}

/** @returns undefined: it was not to be had, and the image is only to be looked at */
function* openFile(
  { openReference, flags }: OpenContext,
  { filename }: ExtentLine,
  name: string,
  isFlat: boolean,
): Co<BlockChild | undefined> {
  try {
    return yield* openReference(name, { filename }, isFlat ? ['data'] : ['data', 'metadata']);
  } catch (error) {
    const isMissing = error instanceof BlockError && (error.kind === 'denied' || error.kind === 'not-found');
    if (flags.inspect === true && isMissing) return undefined;
    throw error;
  }
}

function* openSparse(
  context: OpenContext,
  file: BlockChild,
  header: SparseHeader,
  length: number,
  facts: ExtentFacts,
  cacheBytes: number,
  readOnlyBecause?: string,
): Co<DiskExtent> {
  const why = readOnlyBecause === undefined ? header.readOnlyBecause : undefined;
  if (why !== undefined) refuseWriting(context, facts.filename, why);
  const tables = yield* SparseTables.load(file, header, cacheBytes);
  const grains = header.compressed
    ? new CompressedGrains(file, header, yield* settle(context.compression.load('deflate')))
    : undefined;
  return new SparseExtent(tables, length, facts, grains, readOnlyBecause);
}

function refuseWriting({ flags }: OpenContext, filename: string, why: string): void {
  if (flags.readOnly) return;
  throw new BlockError('unsupported', `'${filename}' cannot be written: ${why}. Open the image read-only`);
}

function makeImage({ flags }: OpenContext, extents: readonly DiskExtent[], descriptor: DescriptorFile): FormatImage {
  const placed: OpenedExtent[] = [];
  let start = 0;
  for (const extent of extents) {
    placed.push({ extent, start });
    start += extent.length;
    if (!Number.isSafeInteger(start)) throw new BlockError('unsupported', 'The disk has 2^53 bytes or more');
  }
  if (!flags.readOnly) requireAligned(placed);
  return new VmdkImage(placed, descriptor, flags.readOnly);
}

/** What keeps requests to one grain apart goes by its place in the disk. */
function requireAligned(extents: readonly OpenedExtent[]): void {
  const unit = Math.max(1, ...extents.map(({ extent }) => extent.grainSize ?? 1));
  const wrong = extents.find(({ start }) => start % unit !== 0);
  if (wrong === undefined) return;
  throw new BlockError(
    'unsupported',
    `The extent '${wrong.extent.facts.filename}' begins at ${wrong.start}, which is not at a whole grain of ${unit} bytes: such an ` +
      'image is only read',
  );
}

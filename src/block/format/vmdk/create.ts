import { settle, type Co } from '../../co.ts';
import type { BlockChild, CreateContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { encodeDescriptor, newCid, type ExtentLine } from './descriptor.ts';
import { MAX_DESCRIPTOR_BYTES, MAX_DIRECTORY_ENTRIES, NO_PARENT_CID, SPLIT_BYTES } from './layout.ts';
import { embeddedDescriptorRoom, makeSparseExtent, spanOfTable } from './create-sparse.ts';
import { roundUp } from '../../../binary/round-up.ts';

export const createOptions = {
  size: { type: 'size', help: 'Virtual disk size', required: true },
  adapter_type: {
    type: 'enum',
    values: ['ide', 'lsilogic', 'buslogic', 'legacyESX'],
    help: 'Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX',
    default: 'ide',
  },
  backing_file: { type: 'string', help: 'File name of a base image' },
  backing_fmt: { type: 'string', help: "Must be 'vmdk' if present" },
  compat6: { type: 'boolean', help: 'VMDK version 6 image', default: false },
  hwversion: { type: 'string', help: 'VMDK hardware version' },
  toolsversion: { type: 'string', help: 'VMware guest tools version', default: '2147483647' },
  subformat: {
    type: 'enum',
    values: ['monolithicSparse', 'monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat', 'streamOptimized'],
    help: 'VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ',
    default: 'monolithicSparse',
  },
  zeroed_grain: {
    type: 'boolean',
    help: 'Enable efficient zero writes using the zeroed-grain GTE feature',
    default: false,
  },
} as const satisfies OptionSchema;

type CreateOptions = OptionValues<typeof createOptions>;

/**
 * Writes an empty image: its extents first, and the descriptor when they are stable.
 *
 * @throws BlockError `invalid` for options that do not go together, in QEMU's words
 */
export function* create(file: BlockChild, options: CreateOptions, context: CreateContext): Co<void> {
  checkOptions(options);
  const { subformat } = options;
  const size = roundUp(options.size, SECTOR_SIZE);
  const isFlat = subformat.endsWith('Flat');
  const isSplit = subformat.startsWith('twoGb');
  if (size > spanOfTable * MAX_DIRECTORY_ENTRIES && !isSplit && !isFlat) {
    throw new BlockError('invalid', `A sparse extent has at most ${spanOfTable * MAX_DIRECTORY_ENTRIES} bytes`);
  }
  const parentCid = yield* parentCidOf(options, context);
  const name = nameOf(context.filename ?? file.filename);
  const extents = isFlat || isSplit ? splitExtents(name, size, isFlat, isSplit) : [embedded(name, size)];
  const text = describe(options, size, parentCid, extents);
  if (isFlat || isSplit) {
    for (const { filename, length } of extents) {
      const extent = yield* context.createFile(filename, isFlat ? length : 0);
      if (isFlat) yield* settle(extent.flush());
      else yield* makeSparseExtent(extent, { capacity: length, zeroedGrains: options.zeroed_grain });
    }
    yield* settle(file.write(0, text));
    yield* settle(file.flush());
  } else {
    if (text.length > embeddedDescriptorRoom) {
      throw new BlockError(
        'invalid',
        `The descriptor has ${text.length} bytes; ${embeddedDescriptorRoom} fit into the image`,
      );
    }
    yield* makeSparseExtent(file, {
      capacity: size,
      zeroedGrains: options.zeroed_grain,
      compressed: subformat === 'streamOptimized',
      descriptor: text,
    });
  }
  context.progress?.report(1, 1);
}

function checkOptions(options: CreateOptions): void {
  const isFlat = options.subformat.endsWith('Flat');
  if (options.compat6 && options.hwversion !== undefined && options.hwversion !== 'undefined') {
    throw new BlockError('invalid', 'compat6 cannot be enabled with hwversion set');
  }
  if (isFlat && options.backing_file !== undefined) {
    throw new BlockError('invalid', "Flat image can't have backing file");
  }
  if (isFlat && options.zeroed_grain) throw new BlockError('invalid', "Flat image can't enable zeroed grain");
  for (const name of ['hwversion', 'toolsversion', 'backing_file'] as const) {
    if (/["\p{Cc}]/u.test(options[name] ?? '')) {
      throw new BlockError(
        'invalid',
        `Option '${name}' cannot have quotes or control characters: it becomes a line of text`,
      );
    }
  }
}

/** The base must be of this format: the overlay remembers its CID. */
function* parentCidOf(options: CreateOptions, context: CreateContext): Co<number> {
  const { backing_file: filename, backing_fmt: format = 'vmdk' } = options;
  if (format !== 'vmdk') throw new BlockError('invalid', 'backing_file must be a vmdk image');
  if (filename === undefined) return NO_PARENT_CID;
  const own = yield* context.lineageOf(filename, format);
  if (own === undefined) throw new BlockError('invalid', 'backing_file must be a vmdk image');
  return Number.parseInt(own, 16);
}

function describe(options: CreateOptions, size: number, parentCid: number, extents: readonly ExtentLine[]): Uint8Array {
  const { hwversion: given } = options;
  const text = encodeDescriptor({
    cid: newCid(),
    parentCid,
    createType: options.subformat,
    parentHint: options.backing_file,
    extents,
    hwVersion: given !== undefined && given !== 'undefined' ? given : options.compat6 ? '6' : '4',
    toolsVersion: options.toolsversion,
    adapterType: options.adapter_type,
    size,
  });
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= MAX_DESCRIPTOR_BYTES) return bytes;
  throw new BlockError('invalid', `The disk has ${extents.length} extents: they do not fit into a descriptor of 1 MiB`);
}

function embedded(filename: string, size: number): ExtentLine {
  return { access: 'RW', length: size, type: 'SPARSE', filename, offset: 0 };
}

/** Named as QEMU names them: `disk-flat.vmdk`, `disk-f001.vmdk`, `disk-s001.vmdk`. */
function splitExtents(name: string, size: number, isFlat: boolean, isSplit: boolean): ExtentLine[] {
  const dot = name.lastIndexOf('.');
  const [stem, ending] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  const type = isFlat ? 'FLAT' : 'SPARSE';
  if (!isSplit) return [{ access: 'RW', length: size, type, filename: `${stem}-flat${ending}`, offset: 0 }];
  return Array.from({ length: Math.ceil(size / SPLIT_BYTES) }, (_, index) => ({
    access: 'RW' as const,
    length: Math.min(SPLIT_BYTES, size - index * SPLIT_BYTES),
    type,
    filename: `${stem}-${isFlat ? 'f' : 's'}${String(index + 1).padStart(3, '0')}${ending}`,
    offset: 0,
  }));
}

/** The last part of the file's name: extents are beside it. */
function nameOf(filename: string | undefined): string {
  const name = /[^/\\:]*$/.exec(filename ?? '')![0];
  return name === '' || /["\p{Cc}]/u.test(name) ? 'disk.vmdk' : name;
}

import { settle, type Co } from '../../co.ts';
import type { BlockChild, CreateContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { encodeDynamicHeader } from './dynamic-header.ts';
import { encodeFooter } from './footer.ts';
import { geometryAtLeast, geometryFor, sectorsOf, type Geometry } from './geometry.ts';
import {
  DEFAULT_BLOCK_SIZE,
  DYNAMIC_LENGTH,
  FOOTER_LENGTH,
  MAX_GEOMETRY_SECTORS,
  MAX_SECTORS,
  TYPE_DYNAMIC,
  TYPE_FIXED,
} from './layout.ts';

export const createOptions = {
  size: { type: 'size', help: 'Virtual disk size', required: true },
  subformat: {
    type: 'enum',
    values: ['dynamic', 'fixed'],
    // With the space at the end that qemu-img prints.
    help: 'Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ',
    default: 'dynamic',
  },
  force_size: {
    type: 'boolean',
    help: 'Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based calculation',
    default: false,
  },
} as const satisfies OptionSchema;

type CreateOptions = OptionValues<typeof createOptions>;

/** Writes an empty image. What makes it one, the footer, goes down when everything else is stable. */
export function* create(file: BlockChild, options: CreateOptions, { progress }: CreateContext): Co<void> {
  const { size, geometry, creator } = sizeOf(options);
  const diskType = options.subformat === 'fixed' ? TYPE_FIXED : TYPE_DYNAMIC;
  const uuid = crypto.getRandomValues(new Uint8Array(16));
  const footer = encodeFooter({ dataOffset: FOOTER_LENGTH, creator, currentSize: size, geometry, diskType }, uuid);
  if (diskType === TYPE_FIXED) {
    yield* settle(file.truncate(size + FOOTER_LENGTH));
    yield* settle(file.flush());
    yield* settle(file.write(size, footer));
  } else {
    const entries = Math.ceil(size / DEFAULT_BLOCK_SIZE);
    const tableOffset = FOOTER_LENGTH + DYNAMIC_LENGTH;
    const tableBytes = Math.ceil((entries * 4) / SECTOR_SIZE) * SECTOR_SIZE;
    yield* settle(file.write(FOOTER_LENGTH, encodeDynamicHeader(tableOffset, entries, DEFAULT_BLOCK_SIZE)));
    yield* settle(file.write(tableOffset, new Uint8Array(tableBytes).fill(0xff)));
    yield* settle(file.write(tableOffset + tableBytes, footer));
    yield* settle(file.flush());
    yield* settle(file.write(0, footer));
  }
  yield* settle(file.flush());
  progress?.report(1, 1);
}

/** The size that the disk gets, which unless it is forced is what a geometry can say. */
function sizeOf({ size, force_size: force }: CreateOptions): {
  readonly size: number;
  readonly geometry: Geometry;
  readonly creator: string;
} {
  const sectors = Math.ceil(size / SECTOR_SIZE);
  if (sectors > MAX_SECTORS)
    throw new BlockError('invalid', `A VHD disk has at most ${MAX_SECTORS * SECTOR_SIZE} bytes (2040 GiB)`);
  if (force) return { size: sectors * SECTOR_SIZE, geometry: geometryFor(sectors), creator: 'qem2' };
  const geometry = geometryAtLeast(sectors);
  const found = sectorsOf(geometry);
  const actual = found === MAX_GEOMETRY_SECTORS ? sectors : found;
  return { size: actual * SECTOR_SIZE, geometry, creator: 'qemu' };
}

import { settle, type Co } from '../../co.ts';
import type { BlockChild, CreateContext } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import type { OptionSchema, OptionValues } from '../../options.ts';
import { encodeHeader } from './header.ts';
import {
  BLOCK_SIZE,
  BLOCK_UNALLOCATED,
  HEADER_LENGTH,
  MAX_BMAP_BYTES,
  TYPE_DYNAMIC,
  TYPE_STATIC,
  UUID_LENGTH,
} from './layout.ts';
import { roundUp } from '../../../binary/round-up.ts';

export const createOptions = {
  size: { type: 'size', help: 'Virtual disk size', required: true },
  static: { type: 'boolean', help: 'VDI static (pre-allocated) image', default: false },
  preallocation: {
    type: 'enum',
    values: ['off', 'metadata'],
    help: 'Preallocation mode (allowed values: off, metadata)',
    default: 'off',
  },
} as const satisfies OptionSchema;

/** Writes an empty image: the block map first, the header when that is stable. */
export function* create(
  file: BlockChild,
  options: OptionValues<typeof createOptions>,
  { progress }: CreateContext,
): Co<void> {
  const isStatic = options.static || options.preallocation === 'metadata';
  const blocks = Math.ceil(options.size / BLOCK_SIZE);
  const bmapBytes = roundUp(blocks * 4, SECTOR_SIZE);
  if (bmapBytes > MAX_BMAP_BYTES) {
    throw new BlockError(
      'invalid',
      `Unsupported VDI image size (size is ${options.size}, max supported is ${(MAX_BMAP_BYTES / 4) * BLOCK_SIZE})`,
    );
  }
  const offsetData = HEADER_LENGTH + bmapBytes;
  const header = encodeHeader(
    {
      imageType: isStatic ? TYPE_STATIC : TYPE_DYNAMIC,
      offsetBmap: HEADER_LENGTH,
      offsetData,
      diskSize: roundUp(options.size, SECTOR_SIZE),
      blocksInImage: blocks,
      blocksAllocated: isStatic ? blocks : 0,
      uuidImage: '',
      uuidLink: '',
    },
    [randomUuid(), randomUuid()],
  );
  yield* settle(file.write(HEADER_LENGTH, encodeBmap(blocks, bmapBytes, isStatic)));
  if (isStatic) yield* settle(file.truncate(offsetData + blocks * BLOCK_SIZE));
  yield* settle(file.flush());
  yield* settle(file.write(0, header));
  yield* settle(file.flush());
  progress?.report(offsetData, offsetData);
}

/** A static image has its blocks in order. */
function encodeBmap(blocks: number, bytes: number, isStatic: boolean): Uint8Array {
  const bmap = new Uint8Array(bytes);
  const view = new DataView(bmap.buffer);
  for (let index = 0; index < blocks; index++) view.setUint32(index * 4, isStatic ? index : BLOCK_UNALLOCATED, true);
  return bmap;
}

function randomUuid(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(UUID_LENGTH));
}

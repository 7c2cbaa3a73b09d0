import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';
import { SECTOR_SIZE } from '../../limits.ts';
import { newCid, parseDescriptor, withCid, type Descriptor } from './descriptor.ts';
import { MAX_DESCRIPTOR_BYTES } from './layout.ts';

/** A descriptor where it is stored: a file of its own, or a part of a sparse extent. */
export class DescriptorFile {
  readonly #file: BlockChild;
  readonly #offset: number;
  /** Bytes that there are for it; undefined: the file may grow. */
  readonly #room: number | undefined;
  #descriptor: Descriptor;

  private constructor(file: BlockChild, offset: number, room: number | undefined, descriptor: Descriptor) {
    this.#file = file;
    this.#offset = offset;
    this.#room = room;
    this.#descriptor = descriptor;
  }

  get descriptor(): Descriptor {
    return this.#descriptor;
  }

  /**
   * Reads a descriptor.
   *
   * @param room bytes that it has inside an extent; undefined: the file is the descriptor
   * @throws BlockError `corrupt`, `unsupported` when the file is too long for a descriptor
   */
  static *read(file: BlockChild, offset: number, room?: number): Co<DescriptorFile> {
    const length = room ?? file.length;
    if (length > MAX_DESCRIPTOR_BYTES) {
      throw new BlockError(
        'unsupported',
        `A descriptor of ${length} bytes is too long: ${MAX_DESCRIPTOR_BYTES} are read`,
      );
    }
    const bytes = new Uint8Array(length);
    yield* settle(file.read(offset, bytes));
    return new DescriptorFile(file, offset, room, parseDescriptor(bytes));
  }

  /** Gives the disk a new CID, on stable storage when it returns: what stands on the old version knows by it that it was changed. */
  *renewCid(): Co<void> {
    const cid = newCid();
    const text = withCid(this.#descriptor.text, cid);
    const encoder = new TextEncoder();
    const before = encoder.encode(this.#descriptor.text);
    const after = encoder.encode(text);
    if (this.#room !== undefined && after.length > this.#room) {
      throw new BlockError('corrupt', 'There is no room in the image for a descriptor with a CID of 8 digits');
    }
    const bytes = changedSectors(before, after);
    yield* settle(this.#file.write(this.#offset + bytes.from, after.subarray(bytes.from, bytes.to)));
    yield* settle(this.#file.flush());
    this.#descriptor = { ...this.#descriptor, text, cid };
  }
}

/** The sectors that differ: mostly one, which is written whole or not at all. */
function changedSectors(before: Uint8Array, after: Uint8Array): { readonly from: number; readonly to: number } {
  let from = 0;
  while (from < after.length && after[from] === before[from]) from++;
  from -= from % SECTOR_SIZE;
  if (before.length !== after.length) return { from, to: after.length };
  let to = after.length;
  while (to > from && after[to - 1] === before[to - 1]) to--;
  return { from, to: Math.min(after.length, Math.ceil(to / SECTOR_SIZE) * SECTOR_SIZE) };
}

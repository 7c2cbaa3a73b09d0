/**
 * A child whose bytes are encrypted: a driver that maps guest ranges to it gets encryption from the core's own loops, which read
 * and write through it as through any other child.
 */
import { chain, settle, start, type Co, type MaybePromise } from '../co.ts';
import { NO_FLAGS, type BlockChild, type RequestFlags } from '../driver.ts';
import { BlockError } from '../error.ts';
import type { BlockEvent } from '../events.ts';
import { SECTOR_SIZE } from '../limits.ts';
import type { VolumeCipher } from './locked.ts';

/** Data is encrypted in pieces of so many bytes: a copy is needed, and the caller's buffer is not ours to change. */
const PIECE_BYTES = 1024 * 1024;
/** Copies up to this size are kept for the next request. */
const KEPT_BYTES = 64 * 1024;

export class EncryptedChild implements BlockChild {
  readonly opaque = true;
  readonly #child: BlockChild;
  readonly #cipher: VolumeCipher;
  /** Added to an offset in the child it gives the offset that vectors are counted from. */
  readonly #shift: number;
  #free: Uint8Array | undefined;

  /** @param shift bytes, a multiple of 512; 0: sectors are numbered as they lie in the child */
  constructor(child: BlockChild, cipher: VolumeCipher, shift = 0) {
    this.#child = child;
    this.#cipher = cipher;
    this.#shift = shift;
  }

  get name(): string {
    return this.#child.name;
  }

  get nodeName(): string {
    return this.#child.nodeName;
  }

  get length(): number {
    return this.#child.length;
  }

  get readOnly(): boolean {
    return this.#child.readOnly;
  }

  get synchronous(): boolean {
    return this.#child.synchronous;
  }

  /** @param offset where a sector begins, and the buffer's length is of whole sectors */
  read(offset: number, buffer: Uint8Array, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    const sector = this.#sectorAt(offset, buffer.length);
    return chain(this.#child.read(offset, buffer, flags), () => this.#cipher.decrypt(sector, buffer));
  }

  write(offset: number, data: Uint8Array, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    this.#sectorAt(offset, data.length);
    return start(
      this.#write(offset, data.length, flags, (piece, from) => piece.set(data.subarray(from, from + piece.length))),
    );
  }

  /** Zeroes are data like any other: what is stored for them is not zero. */
  writeZeroes(offset: number, length: number, flags: RequestFlags = NO_FLAGS): MaybePromise<void> {
    this.#sectorAt(offset, length);
    return start(this.#write(offset, length, flags, (piece) => piece.fill(0)));
  }

  /** What the child would read as afterwards is nothing that the guest ever wrote: the data is kept. */
  discard(): void {}

  truncate(length: number): MaybePromise<void> {
    return this.#child.truncate(length);
  }

  flush(): MaybePromise<void> {
    return this.#child.flush();
  }

  allocatedSize(): MaybePromise<number | undefined> {
    return this.#child.allocatedSize();
  }

  event(name: BlockEvent): void {
    this.#child.event(name);
  }

  *#write(
    offset: number,
    length: number,
    flags: RequestFlags,
    fill: (piece: Uint8Array, from: number) => void,
  ): Co<void> {
    const buffer = this.#acquire(Math.min(length, PIECE_BYTES));
    try {
      for (let done = 0; done < length; done += PIECE_BYTES) {
        const piece = buffer.subarray(0, Math.min(PIECE_BYTES, length - done));
        fill(piece, done);
        this.#cipher.encrypt(this.#sectorAt(offset + done, piece.length), piece);
        yield* settle(this.#child.write(offset + done, piece, flags));
      }
    } finally {
      if (buffer.length <= KEPT_BYTES) this.#free = buffer;
    }
  }

  #acquire(length: number): Uint8Array {
    const free = this.#free;
    this.#free = undefined;
    return free !== undefined && free.length >= length ? free : new Uint8Array(length);
  }

  #sectorAt(offset: number, length: number): number {
    const { sectorSize } = this.#cipher;
    const shifted = offset + this.#shift;
    if (shifted % sectorSize === 0 && length % sectorSize === 0) return shifted / SECTOR_SIZE;
    throw new BlockError('internal', 'A request to encrypted data does not consist of whole sectors', {
      offset,
      length,
    });
  }
}

/**
 * Buffers that go back and forth between page and worker. Making one costs many times what sending it does, so those that come
 * back are kept for requests of the same length.
 */
import { BlockError } from '../block/error.ts';

/** No more bytes than this are kept; the lengths that were not used for longest go first. */
const MAX_POOLED_BYTES = 32 * 1024 * 1024;

export class BufferPool {
  /** By length in bytes, the one used last at the end. */
  readonly #buffers = new Map<number, ArrayBuffer[]>();
  #bytes = 0;

  /** Bytes in all buffers that are kept. */
  get pooledBytes(): number {
    return this.#bytes;
  }

  /**
   * A buffer of exactly that length, with anything in it.
   *
   * @throws BlockError `invalid` when no buffer of that length can be made
   */
  take(length: number): ArrayBuffer {
    const buffer = this.#buffers.get(length)?.pop();
    if (buffer === undefined) return newBuffer(length);
    this.#bytes -= length;
    return buffer;
  }

  /** Keeps a buffer. Nobody else may have it. */
  put(buffer: ArrayBuffer): void {
    const length = buffer.byteLength;
    if (length === 0 || length > MAX_POOLED_BYTES) return;
    const alike = this.#buffers.get(length) ?? [];
    alike.push(buffer);
    this.#buffers.delete(length);
    this.#buffers.set(length, alike);
    this.#bytes += length;
    while (this.#bytes > MAX_POOLED_BYTES) this.#dropOldest();
  }

  #dropOldest(): void {
    for (const [length, buffers] of this.#buffers) {
      if (buffers.pop() === undefined) this.#buffers.delete(length);
      else {
        this.#bytes -= length;
        return;
      }
    }
  }
}

function newBuffer(length: number): ArrayBuffer {
  try {
    return new ArrayBuffer(length);
  } catch (cause) {
    throw new BlockError(
      'invalid',
      'No buffer of that many bytes can be made: ask for less at a time',
      { length },
      { cause },
    );
  }
}

/**
 * Takes a caller's buffer away from the caller, so that nobody but us has it: its views are empty from now on. Nothing is copied.
 *
 * @throws BlockError `invalid` when it was given away before, or cannot be (shared memory, WebAssembly's)
 */
export function takeOver(buffer: ArrayBufferLike): ArrayBuffer {
  try {
    if (buffer instanceof ArrayBuffer) return detach(buffer);
  } catch (cause) {
    throw new BlockError(
      'invalid',
      'The buffer cannot be taken over: it was given away already, or it is memory that cannot be',
      {},
      { cause },
    );
  }
  throw new BlockError('invalid', 'Shared memory cannot be given away: pass a buffer of your own');
}

/** Both ways move the memory; the first is three times as fast, and newer. */
function detach(buffer: ArrayBuffer): ArrayBuffer {
  const { transfer } = buffer as { readonly transfer?: () => ArrayBuffer };
  return transfer === undefined ? structuredClone(buffer, { transfer: [buffer] }) : transfer.call(buffer);
}

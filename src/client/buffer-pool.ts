/**
 * Buffers that go back and forth between page and worker. Making one costs many times what sending it does, so those that come
 * back are kept for requests of the same length.
 *
 * No buffer is ever in two requests: `claim` refuses one that is ours already, and sending it takes it from everybody else.
 */
import { BlockError } from '../block/error.ts';

/** No more bytes than this are kept; the lengths that were not used for longest go first. */
const MAX_POOLED_BYTES = 32 * 1024 * 1024;

export class BufferPool {
  /** By length in bytes, the one used last at the end. */
  readonly #buffers = new Map<number, ArrayBuffer[]>();
  #bytes = 0;
  /** Callers' buffers that are kept or wait to be sent: their old owners can still see them. */
  readonly #claimed = new Set<ArrayBuffer>();
  /** Buffers that messages brought: a message can take them away again. */
  readonly #sendable = new WeakSet<ArrayBuffer>();

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

  /** Keeps a buffer that is ours. */
  put(buffer: ArrayBuffer): void {
    const length = buffer.byteLength;
    if (length === 0 || length > MAX_POOLED_BYTES) {
      this.#claimed.delete(buffer);
      return;
    }
    const alike = this.#buffers.get(length) ?? [];
    alike.push(buffer);
    this.#buffers.delete(length);
    this.#buffers.set(length, alike);
    this.#bytes += length;
    while (this.#bytes > MAX_POOLED_BYTES) this.#dropOldest();
  }

  /**
   * Takes a caller's buffer, which the caller must not use any more.
   *
   * @returns it, or where it is not certain that a message can take it away, another one that has its memory
   * @throws BlockError `invalid` for a buffer that was given away before, or cannot be (shared memory, WebAssembly's)
   */
  claim(given: ArrayBufferLike): ArrayBuffer {
    if (!(given instanceof ArrayBuffer)) {
      throw new BlockError('invalid', 'Shared memory cannot be given away: pass a buffer of your own');
    }
    if (this.#claimed.has(given)) throw givenAwayError();
    const buffer = this.#sendable.has(given) ? given : detach(given);
    this.#claimed.add(buffer);
    return buffer;
  }

  /** A message has taken these buffers to the worker. */
  sent(buffers: readonly ArrayBuffer[]): void {
    if (this.#claimed.size > 0) for (const buffer of buffers) this.#claimed.delete(buffer);
  }

  /** A message has brought this buffer. */
  received(buffer: ArrayBuffer): void {
    this.#sendable.add(buffer);
  }

  #dropOldest(): void {
    for (const [length, buffers] of this.#buffers) {
      const dropped = buffers.pop();
      if (dropped === undefined) {
        this.#buffers.delete(length);
        continue;
      }
      this.#claimed.delete(dropped);
      this.#bytes -= length;
      return;
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
 * Moves the memory of a buffer to a new one. Chromium copies a buffer that came in a message, which is why those are told apart.
 */
function detach(buffer: ArrayBuffer): ArrayBuffer {
  const { transfer } = buffer as { readonly transfer?: () => ArrayBuffer };
  try {
    return transfer === undefined ? structuredClone(buffer, { transfer: [buffer] }) : transfer.call(buffer);
  } catch (cause) {
    throw givenAwayError(cause);
  }
}

function givenAwayError(cause?: unknown): BlockError {
  return new BlockError(
    'invalid',
    'The buffer cannot be given away: it was already, or it is memory that cannot be, such as that of WebAssembly',
    {},
    { cause },
  );
}

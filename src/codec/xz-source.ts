/** Decompresses one stream of xz by XZ Embedded in WebAssembly, which is loaded when it is first needed. */
import type * as XzLibrary from 'xz-decompress';
import { settle, start, startAsync, type Co, type MaybePromise } from '../block/co.ts';
import { BlockError } from '../block/error.ts';
import type { ByteSource } from './byte-source.ts';
import { streamTooLong, streamTooShort, wrongStream } from './errors.ts';

type Controller = ReadableStreamDefaultController<Uint8Array>;
type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** So many empty pieces may come when there is nothing left to read: one or two do. */
const MAX_EMPTY = 16;

export class XzSource implements ByteSource {
  readonly #packed: ByteSource;
  #reader: Reader | undefined;
  #ended = false;
  /** What reading the packed bytes threw. */
  #failure: { readonly error: unknown } | undefined;

  constructor(packed: ByteSource) {
    this.#packed = packed;
  }

  next(): MaybePromise<Uint8Array | undefined> {
    return start(this.#next());
  }

  /** The library decompresses one stream at a time, and the next waits for the end of this one. */
  close(): MaybePromise<void> {
    return this.#reader?.cancel().catch(ignoreFailed);
  }

  *#next(): Co<Uint8Array | undefined> {
    this.#reader ??= yield* this.#open();
    try {
      for (let empty = 0; ; empty++) {
        const { value } = yield* settle(this.#reader.read());
        // While it has not enough to go on, it gives empty pieces; at the end of a stream that was cut off, for ever.
        if (value === undefined || value.length > 0) return value;
        if (this.#ended && empty > MAX_EMPTY) throw new Error('it ends too early: it was cut off, or is not all there');
      }
    } catch (cause) {
      if (this.#failure !== undefined) throw this.#failure.error;
      throw wrongStream('xz', cause instanceof Error ? cause.message : String(cause), cause);
    }
  }

  /** Never fails: the library is told, and rejects what it was asked for. */
  *#give(controller: Controller): Co<void> {
    try {
      const piece = yield* settle(this.#packed.next());
      this.#ended = piece === undefined;
      // The library holds on to what it gets, and the piece is good only until the next.
      if (piece === undefined) controller.close();
      else controller.enqueue(piece.slice());
    } catch (error) {
      this.#failure = { error };
      controller.error(error);
    }
  }

  *#open(): Co<Reader> {
    const { XzReadableStream } = yield* loadLibrary();
    const pull = (controller: Controller): Promise<void> => startAsync(this.#give(controller));
    return new XzReadableStream(new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 })).getReader();
  }
}

/**
 * Decompresses one stream that is in memory.
 *
 * @param output as long as the stream becomes
 * @throws BlockError `corrupt` when it is broken or becomes anything else, `unsupported` where the library cannot be loaded
 */
export function* decompressXz(data: Uint8Array, output: Uint8Array): Co<void> {
  let given = false;
  const source = new XzSource({
    next() {
      if (given) return undefined;
      given = true;
      return data;
    },
  });
  let done = 0;
  try {
    for (;;) {
      const piece = yield* settle(source.next());
      if (piece === undefined) break;
      if (piece.length > output.length - done) throw streamTooLong('xz', output.length);
      output.set(piece, done);
      done += piece.length;
    }
  } finally {
    yield* settle(source.close());
  }
  if (done < output.length) throw streamTooShort('xz', done, output.length);
}

/** A stream that failed has been let go of already, and why it failed was told. */
function ignoreFailed(): void {
  return undefined;
}

type Library = Pick<typeof XzLibrary, 'XzReadableStream'>;

/** It is a CommonJS module: bundlers see its names, Node sees it as the default export. */
type Loaded = Partial<Library> & { readonly default?: Partial<Library> };

function* loadLibrary(): Co<Library> {
  try {
    const loaded: Loaded = yield* settle(import('xz-decompress'));
    const XzReadableStream = loaded.XzReadableStream ?? loaded.default?.XzReadableStream;
    if (XzReadableStream === undefined) throw new TypeError('It exports no XzReadableStream');
    return { XzReadableStream };
  } catch (cause) {
    throw new BlockError('unsupported', 'The xz library could not be loaded', {}, { cause });
  }
}

/** Inflates a stream of any length: gzip with all its members, or raw deflate. */
import {
  Z_BUF_ERROR,
  Z_NO_FLUSH,
  Z_OK,
  Z_STREAM_END,
  zlibInflate,
  zlibInflateInit2,
  zlibInflateReset2,
  ZStream,
} from 'pako';
import { settle, start, type Co, type MaybePromise } from '../block/co.ts';
import type { ByteSource } from './byte-source.ts';
import { wrongStream } from './errors.ts';

/** Window bits as zlib takes them: 16 more stand for gzip, with header and checksums; negative ones for neither. */
const WINDOW_BITS = { gzip: 31, deflate: -15 } as const;
const PIECE_BYTES = 256 * 1024;
const GZIP_MAGIC = [0x1f, 0x8b] as const;

export class InflateSource implements ByteSource {
  readonly #packed: ByteSource;
  readonly #method: 'gzip' | 'deflate';
  readonly #stream = new ZStream();
  readonly #piece = new Uint8Array(PIECE_BYTES);
  #ended = false;

  constructor(packed: ByteSource, method: 'gzip' | 'deflate') {
    this.#packed = packed;
    this.#method = method;
    zlibInflateInit2(this.#stream, WINDOW_BITS[method]);
    this.#stream.avail_in = 0;
  }

  next(): MaybePromise<Uint8Array | undefined> {
    return start(this.#next());
  }

  *#next(): Co<Uint8Array | undefined> {
    const strm = this.#stream;
    strm.output = this.#piece;
    strm.next_out = 0;
    strm.avail_out = PIECE_BYTES;
    while (!this.#ended && strm.avail_out > 0) {
      if (strm.avail_in === 0 && !(yield* this.#refill())) {
        throw wrongStream(this.#method, 'it ends too early: it was cut off, or is not all there');
      }
      const status = zlibInflate(strm, Z_NO_FLUSH);
      if (status === Z_STREAM_END) yield* this.#nextMember();
      else if (status !== Z_OK && status !== Z_BUF_ERROR) throw wrongStream(this.#method, strm.msg);
    }
    return strm.next_out === 0 ? undefined : this.#piece.subarray(0, strm.next_out);
  }

  *#refill(): Co<boolean> {
    const piece = yield* settle(this.#packed.next());
    if (piece === undefined) return false;
    this.#stream.input = piece;
    this.#stream.next_in = 0;
    this.#stream.avail_in = piece.length;
    return true;
  }

  /** Gzip's files may have several members, one behind the other, and zeroes behind those. Source: RFC 1952, section 2.2. */
  *#nextMember(): Co<void> {
    if (this.#method === 'deflate') {
      this.#ended = true;
      return;
    }
    const strm = this.#stream;
    for (;;) {
      if (strm.avail_in === 0 && !(yield* this.#refill())) {
        this.#ended = true;
        return;
      }
      if (strm.input[strm.next_in] !== 0) break;
      strm.next_in++;
      strm.avail_in--;
    }
    if (strm.input[strm.next_in] !== GZIP_MAGIC[0]) {
      throw wrongStream('gzip', 'something else follows its end');
    }
    zlibInflateReset2(strm, WINDOW_BITS.gzip);
  }
}

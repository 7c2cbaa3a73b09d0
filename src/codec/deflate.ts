/**
 * Raw deflate in plain JavaScript, the same in page, worker and Node.
 *
 * Source: RFC 1951; zlib manual, "Advanced Functions".
 */
import {
  Z_BUF_ERROR,
  Z_DEFAULT_STRATEGY,
  Z_FINISH,
  Z_OK,
  Z_STREAM_END,
  zlibDeflate,
  zlibDeflateInit2,
  zlibDeflateReset,
  zlibInflate,
  zlibInflateInit2,
  zlibInflateReset2,
  ZStream,
} from 'pako';
import type { Compressor } from '../block/compression.ts';
import { BlockError } from '../block/error.ts';
import { DEFLATE_MEMORY_LEVEL, DEFLATE_WINDOW_BITS } from './deflate-settings.ts';
import { shorter, streamTooLong, streamTooShort, wrongStream } from './errors.ts';

/** zlib's own names of them are not exported. */
const Z_DEFAULT_LEVEL = -1;
const Z_DEFLATED = 8;
/** Everything that deflate can express is read, as QEMU does where the output lies in one piece. Negative: no header. */
const ANY_WINDOW = -15;

export const deflate: Compressor = { decompress: inflate, compress };

/** One for all calls: its tables cost more than a cluster's inflation. Nothing waits while it is in use. */
let stream: ZStream | undefined;

function inflate(data: Uint8Array, output: Uint8Array): void {
  const strm = beginStream();
  feed(strm, data, output);
  const status = zlibInflate(strm, Z_FINISH);
  if (status !== Z_STREAM_END && status !== Z_OK && status !== Z_BUF_ERROR) {
    // A stream that failed is not used again.
    stream = undefined;
    throw wrongStream('deflate', strm.msg);
  }
  if (strm.avail_out > 0) throw streamTooShort('deflate', strm.next_out, output.length);
  if (status !== Z_STREAM_END && hasMore(strm)) throw streamTooLong('deflate', output.length);
}

function beginStream(): ZStream {
  if (stream !== undefined && zlibInflateReset2(stream, ANY_WINDOW) === Z_OK) return stream;
  stream = new ZStream();
  zlibInflateInit2(stream, ANY_WINDOW);
  return stream;
}

function feed(strm: ZStream, data: Uint8Array, output: Uint8Array): void {
  strm.input = data;
  strm.next_in = 0;
  strm.avail_in = data.length;
  strm.output = output as Uint8Array<ArrayBuffer>;
  strm.next_out = 0;
  strm.avail_out = output.length;
}

/** Whether a stream whose output is full goes on. One that merely lacks its end has given all that was asked of it. */
function hasMore(strm: ZStream): boolean {
  const one = new Uint8Array(1);
  strm.output = one;
  strm.next_out = 0;
  strm.avail_out = 1;
  zlibInflate(strm, Z_FINISH);
  return strm.avail_out === 0;
}

/** One for all calls as well: to make its tables anew takes longer than to compress a small cluster. */
let deflater: ZStream | undefined;

function compress(data: Uint8Array): Uint8Array | undefined {
  const strm = beginDeflate();
  // As long as what is compressed: what does not fit is of no use, and need not be made.
  const output = new Uint8Array(data.length);
  feed(strm, data, output);
  const status = zlibDeflate(strm, Z_FINISH);
  if (status === Z_STREAM_END) return shorter(output.slice(0, strm.next_out), data);
  if (status === Z_OK || status === Z_BUF_ERROR) return undefined;
  deflater = undefined;
  throw new BlockError('internal', `deflate failed (${strm.msg})`);
}

function beginDeflate(): ZStream {
  if (deflater !== undefined && zlibDeflateReset(deflater) === Z_OK) return deflater;
  deflater = new ZStream();
  const windowBits = -DEFLATE_WINDOW_BITS;
  zlibDeflateInit2(deflater, Z_DEFAULT_LEVEL, Z_DEFLATED, windowBits, DEFLATE_MEMORY_LEVEL, Z_DEFAULT_STRATEGY);
  return deflater;
}

/**
 * The streams of an xz file, found from its end: so it is known how large their content is before anything is unpacked.
 *
 * Source: "The .xz File Format", version 1.1.0, sections 2 (several streams, padding), 2.1.2 (footer) and 4 (index).
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';

/** One of the streams that lie one behind the other. */
export interface XzStream {
  /** In the file. */
  readonly offset: number;
  readonly length: number;
  /** Bytes that it becomes. */
  readonly size: number;
}

const MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0] as const;
const HEADER_LENGTH = 12;
const FOOTER_LENGTH = 12;
/** Streams begin at multiples of it, and so much padding is between them. */
const ALIGNMENT = 4;
/** One for each block, of which there are as many as threads packed it, or a few thousand. */
const MAX_INDEX_BYTES = 2 ** 20;
/** Programs that work in parallel make one for each piece of some megabytes. */
const MAX_STREAMS = 65_536;
const PADDING_PIECE_BYTES = 65_536;

/**
 * @returns the streams in their order, one or more
 * @throws BlockError `corrupt` when one of them does not end as it should, `unsupported` for more than are looked at
 */
export function* findXzStreams(file: BlockChild): Co<readonly XzStream[]> {
  const streams: XzStream[] = [];
  let end = file.length;
  if (end % ALIGNMENT !== 0)
    throw broken('its length is no multiple of four: it was cut off, or something follows its end');
  do {
    end = yield* withoutPadding(file, end);
    const stream = yield* streamBefore(file, end);
    streams.push(stream);
    end = stream.offset;
    if (streams.length > MAX_STREAMS) {
      throw new BlockError(
        'unsupported',
        `The xz file has more than ${MAX_STREAMS} streams: pack it anew (xz -d, then xz)`,
      );
    }
  } while (end > 0);
  return streams.toReversed();
}

/** @returns where the zeroes before `end` begin */
function* withoutPadding(file: BlockChild, end: number): Co<number> {
  const piece = new Uint8Array(PADDING_PIECE_BYTES);
  for (let at = end; at > 0;) {
    // Almost always there is none: then four bytes tell.
    const bytes = piece.subarray(0, Math.min(at === end ? ALIGNMENT : PADDING_PIECE_BYTES, at));
    yield* settle(file.read(at - bytes.length, bytes));
    const last = bytes.findLastIndex((byte) => byte !== 0);
    if (last >= 0) return at - bytes.length + Math.ceil((last + 1) / ALIGNMENT) * ALIGNMENT;
    at -= bytes.length;
  }
  throw broken('there is no stream before its padding');
}

function* streamBefore(file: BlockChild, end: number): Co<XzStream> {
  const footer = new Uint8Array(FOOTER_LENGTH);
  const at = end - FOOTER_LENGTH;
  if (at < HEADER_LENGTH) throw broken('it is too short');
  yield* settle(file.read(at, footer));
  if (footer[10] !== 0x59 || footer[11] !== 0x5a)
    throw broken('it has no footer: it was cut off, or something follows its end');
  const indexLength = (new DataView(footer.buffer).getUint32(4, true) + 1) * 4;
  if (indexLength > MAX_INDEX_BYTES || indexLength > at - HEADER_LENGTH)
    throw broken(`its index has ${indexLength} bytes`);
  const index = new Uint8Array(indexLength);
  yield* settle(file.read(at - indexLength, index));
  const { packed, size } = readIndex(index);
  const length = HEADER_LENGTH + packed + indexLength + FOOTER_LENGTH;
  const magic = new Uint8Array(MAGIC.length);
  if (length <= end) yield* settle(file.read(end - length, magic));
  if (!MAGIC.every((byte, place) => magic[place] === byte))
    throw broken(`no stream of ${length} bytes ends at ${end}, as its index says`);
  return { offset: end - length, length, size };
}

function readIndex(index: Uint8Array): { packed: number; size: number } {
  const reader = new NumberReader(index, 1);
  if (index[0] !== 0) throw broken('it has no index before its footer');
  let packed = 0;
  let size = 0;
  for (let records = reader.next(); records > 0; records--) {
    packed += Math.ceil(reader.next() / 4) * 4;
    size += reader.next();
  }
  if (!Number.isSafeInteger(packed) || !Number.isSafeInteger(size))
    throw broken('the sizes in its index are too large');
  return { packed, size };
}

/** Numbers of seven bits a byte, the lowest first. */
class NumberReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  next(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || factor > 2 ** 49) throw broken('a number in its index does not end');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }
}

function broken(why: string): BlockError {
  return new BlockError('corrupt', `The xz file is broken: ${why}`);
}

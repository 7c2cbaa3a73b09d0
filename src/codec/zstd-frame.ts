/**
 * The frame of a zstd stream, looked at before any decoder sees it: where it ends, because decoders refuse what follows, and how
 * much it may become, because its header alone makes them allocate.
 *
 * Source: RFC 8878, section 3.1.1 "Zstandard Frames".
 */
import { streamTooLong, streamTooShort, wrongStream } from './errors.ts';

const MAGIC = 0xfd2fb528;
const MAGIC_LENGTH = 4;
const SINGLE_SEGMENT = 0x20;
const RESERVED = 0x08;
const CHECKSUM = 0x04;
const CHECKSUM_LENGTH = 4;
const BLOCK_HEADER_LENGTH = 3;
const BLOCK_RAW = 0;
const BLOCK_RUN = 1;
const BLOCK_RESERVED = 3;
/** Bytes of the dictionary's id and of the content's size, by their flags in the descriptor. */
const DICTIONARY_LENGTHS = [0, 1, 2, 4] as const;
const SIZE_LENGTHS = [0, 2, 4, 8] as const;
/** A size of two bytes counts from here. */
const SIZE_OF_TWO_BYTES = 256;

/** Magic number, descriptor, and the size in four bytes. */
const WRITTEN_HEADER_LENGTH = 9;
/** A size of four bytes follows, and it is the window too. */
const WRITTEN_DESCRIPTOR = 0x80 | SINGLE_SEGMENT;

interface FrameHeader {
  readonly length: number;
  readonly hasChecksum: boolean;
}

/**
 * Cuts a frame out of what follows it, with a header that says what it must become: a decoder allocates `size` bytes, no more,
 * and refuses a frame that gives another number of them.
 *
 * @param size bytes that the frame must give
 * @returns the frame, in a buffer of its own
 * @throws BlockError `corrupt` when it is no frame, is cut off, or says that it has another size
 */
export function exactFrame(data: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const header = readHeader(data, size);
  const end = frameEnd(data, header, size);
  const frame = new Uint8Array(WRITTEN_HEADER_LENGTH + end - header.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint8(MAGIC_LENGTH, WRITTEN_DESCRIPTOR + (header.hasChecksum ? CHECKSUM : 0));
  view.setUint32(MAGIC_LENGTH + 1, size, true);
  frame.set(data.subarray(header.length, end), WRITTEN_HEADER_LENGTH);
  return frame;
}

function readHeader(data: Uint8Array, size: number): FrameHeader {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length <= MAGIC_LENGTH || view.getUint32(0, true) !== MAGIC) {
    throw wrongStream('zstd', 'it does not begin with the magic number of a frame');
  }
  const descriptor = view.getUint8(MAGIC_LENGTH);
  if ((descriptor & RESERVED) !== 0) throw wrongStream('zstd', 'a reserved bit is set in its header');
  const singleSegment = (descriptor & SINGLE_SEGMENT) !== 0;
  const windowLength = singleSegment ? 0 : 1;
  const dictionaryLength = DICTIONARY_LENGTHS[(descriptor & 3) as 0 | 1 | 2 | 3];
  const sizeFlag = (descriptor >>> 6) as 0 | 1 | 2 | 3;
  const sizeLength = sizeFlag === 0 && singleSegment ? 1 : SIZE_LENGTHS[sizeFlag];
  const sizeAt = MAGIC_LENGTH + 1 + windowLength + dictionaryLength;
  const length = sizeAt + sizeLength;
  if (length > data.length) throw wrongStream('zstd', 'its header is cut off');
  for (let at = sizeAt - dictionaryLength; at < sizeAt; at++) {
    if (data[at] !== 0) throw wrongStream('zstd', 'it needs a dictionary, and images have none');
  }
  const said = sizeLength === 0 ? size : readSize(view, sizeAt, sizeLength);
  if (said < size) throw streamTooShort('zstd', said, size);
  if (said > size) throw streamTooLong('zstd', size);
  return { length, hasChecksum: (descriptor & CHECKSUM) !== 0 };
}

function readSize(view: DataView, at: number, length: 1 | 2 | 4 | 8): number {
  switch (length) {
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + SIZE_OF_TWO_BYTES;
    case 4:
      return view.getUint32(at, true);
    case 8:
      return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  }
}

/** Walks the blocks. What they say of themselves is added up where it can be: a few bytes can stand for many. */
function frameEnd(data: Uint8Array, header: FrameHeader, size: number): number {
  let at = header.length;
  let becomes = 0;
  for (;;) {
    if (at + BLOCK_HEADER_LENGTH > data.length) throw wrongStream('zstd', 'it is cut off');
    const block = data[at]! + data[at + 1]! * 2 ** 8 + data[at + 2]! * 2 ** 16;
    const isLast = block % 2 === 1;
    const type = Math.floor(block / 2) % 4;
    const length = Math.floor(block / 8);
    if (type === BLOCK_RESERVED) throw wrongStream('zstd', 'it has a block of an unknown type');
    if (type === BLOCK_RAW || type === BLOCK_RUN) becomes += length;
    if (becomes > size) throw streamTooLong('zstd', size);
    at += BLOCK_HEADER_LENGTH + (type === BLOCK_RUN ? 1 : length);
    if (isLast) break;
  }
  const end = at + (header.hasChecksum ? CHECKSUM_LENGTH : 0);
  if (end > data.length) throw wrongStream('zstd', 'it is cut off');
  return end;
}

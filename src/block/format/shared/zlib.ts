/**
 * A zlib stream around a raw deflate stream.
 *
 * Source: RFC 1950; RFC 1951, section 3.2.4 (stored blocks).
 */
import { BlockError } from '../../error.ts';

const METHOD_DEFLATE = 8;
const HEADER_LENGTH = 2;
const CHECKSUM_LENGTH = 4;
/** A window of 32 KiB, and no promise of how well it is compressed. */
const HEADER = [0x78, 0x01] as const;
const MAX_STORED_BLOCK = 65_535;

/**
 * @param data from the beginning of the stream
 * @returns the deflate stream in it (and what follows), and what compares the checksum at the end of `data` with decompressed bytes
 * @throws BlockError `corrupt` for what is no zlib stream
 */
export function unwrapZlib(data: Uint8Array): { deflate: Uint8Array; verify(decompressed: Uint8Array): void } {
  const [method = 0, flags = 0] = data;
  const isZlib = method % 16 === METHOD_DEFLATE && (method * 256 + flags) % 31 === 0 && (flags & 0x20) === 0;
  if (!isZlib || data.length < HEADER_LENGTH + CHECKSUM_LENGTH) {
    throw new BlockError('corrupt', 'it does not begin as a zlib stream does');
  }
  return {
    deflate: data.subarray(HEADER_LENGTH),
    verify(decompressed) {
      const view = new DataView(data.buffer, data.byteOffset + data.length - CHECKSUM_LENGTH, CHECKSUM_LENGTH);
      if (view.getUint32(0) !== adler32(decompressed)) {
        throw new BlockError('corrupt', 'its checksum is not that of the decompressed bytes');
      }
    },
  };
}

/**
 * @param deflate the compressed bytes; undefined: they are stored as they are
 * @param at where in `output` the stream begins
 * @returns where it ends
 */
export function putZlib(output: Uint8Array, at: number, data: Uint8Array, deflate: Uint8Array | undefined): number {
  output.set(HEADER, at);
  const end = deflate === undefined ? putStored(output, at + HEADER_LENGTH, data) : at + HEADER_LENGTH + deflate.length;
  if (deflate !== undefined) output.set(deflate, at + HEADER_LENGTH);
  new DataView(output.buffer, output.byteOffset).setUint32(end, adler32(data));
  return end + CHECKSUM_LENGTH;
}

/** Bytes that a stream takes. */
export function zlibLength(data: Uint8Array, deflate: Uint8Array | undefined): number {
  const blocks = Math.ceil(data.length / MAX_STORED_BLOCK);
  return HEADER_LENGTH + (deflate === undefined ? data.length + 5 * blocks : deflate.length) + CHECKSUM_LENGTH;
}

function putStored(output: Uint8Array, at: number, data: Uint8Array): number {
  const view = new DataView(output.buffer, output.byteOffset);
  let end = at;
  for (let from = 0; from < data.length; from += MAX_STORED_BLOCK) {
    const block = data.subarray(from, from + MAX_STORED_BLOCK);
    view.setUint8(end, from + block.length === data.length ? 1 : 0);
    view.setUint16(end + 1, block.length, true);
    view.setUint16(end + 3, 0xffff - block.length, true);
    output.set(block, end + 5);
    end += 5 + block.length;
  }
  return end;
}

const ADLER_MODULUS = 65_521;
/** So many bytes can be summed up before the sums reach 2^32. */
const ADLER_RUN = 5552;

function adler32(data: Uint8Array): number {
  let low = 1;
  let high = 0;
  for (let from = 0; from < data.length; from += ADLER_RUN) {
    const end = Math.min(data.length, from + ADLER_RUN);
    for (let at = from; at < end; at++) {
      low += data[at]!;
      high += low;
    }
    low %= ADLER_MODULUS;
    high %= ADLER_MODULUS;
  }
  return high * 65_536 + low;
}

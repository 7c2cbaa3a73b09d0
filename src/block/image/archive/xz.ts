/**
 * How large the content of an xz file is: its index says so, at its end.
 *
 * Source: "The .xz File Format", version 1.1.0, sections 2.1.2 (footer) and 4 (index).
 */
import { settle, type Co } from '../../co.ts';
import type { BlockChild } from '../../driver.ts';
import { BlockError } from '../../error.ts';

const HEADER_LENGTH = 12;
const FOOTER_LENGTH = 12;
/** One for each block, of which there are as many as threads packed it, or a few thousand. */
const MAX_INDEX_BYTES = 2 ** 20;

/** @throws BlockError `corrupt` when the end is not that of an xz file, `unsupported` for several streams one behind the other */
export function* xzSize(file: BlockChild): Co<number> {
  const footer = new Uint8Array(FOOTER_LENGTH);
  const at = file.length - FOOTER_LENGTH;
  if (at < HEADER_LENGTH) throw broken('it is too short');
  yield* settle(file.read(at, footer));
  if (footer[10] !== 0x59 || footer[11] !== 0x5a)
    throw broken('it has no footer: it was cut off, or something follows its end');
  const length = (new DataView(footer.buffer).getUint32(4, true) + 1) * 4;
  if (length > MAX_INDEX_BYTES || length > at - HEADER_LENGTH) throw broken(`its index has ${length} bytes`);
  const index = new Uint8Array(length);
  yield* settle(file.read(at - length, index));
  const { packed, size } = readIndex(index);
  if (HEADER_LENGTH + packed + length + FOOTER_LENGTH !== file.length) {
    throw new BlockError(
      'unsupported',
      'The xz file has several streams one behind the other: pack it anew (xz -d, then xz)',
    );
  }
  return size;
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

/**
 * LZVN, the codec that LZFSE uses for short pieces: a byte says how many literals follow and how much is copied from where.
 *
 * Source: the description of the opcodes in Apple's LZFSE reference (BSD licence), and the LZFSE pages of libfmos.
 */
import { copyMatch, streamTooLong, streamTooShort, wrongStream } from './errors.ts';

const METHOD = 'LZVN';

interface Operation {
  /** Bytes of the operation itself, without its literals. */
  readonly size: number;
  readonly literals: number;
  readonly match: number;
  /** Undefined: as far back as the last time. */
  readonly distance: number | undefined;
}

/**
 * Decompresses what must give exactly as many bytes as fit into `output`, from `begin` on; copies may reach back before that.
 *
 * @throws BlockError `corrupt` when the stream is broken, too short or too long
 */
export function decompressLzvn(data: Uint8Array, output: Uint8Array, begin = 0): void {
  let at = 0;
  let done = begin;
  let distance = 0;
  for (;;) {
    const code = data[at];
    if (code === undefined) throw streamTooShort(METHOD, done - begin, output.length - begin);
    if (code === 0x06) break;
    const operation = decode(data, at, code);
    at += operation.size;
    const { literals, match } = operation;
    if (at + literals > data.length) throw wrongStream(METHOD, `its literals at ${at} are not all there`);
    if (done + literals + match > output.length) throw streamTooLong(METHOD, output.length - begin);
    output.set(data.subarray(at, at + literals), done);
    at += literals;
    done += literals;
    distance = operation.distance ?? distance;
    if (match > 0) copyMatch(METHOD, output, done, distance, match);
    done += match;
  }
  if (done < output.length) throw streamTooShort(METHOD, done - begin, output.length - begin);
}

function decode(data: Uint8Array, at: number, code: number): Operation {
  const second = data[at + 1] ?? 0;
  const third = data[at + 2] ?? 0;
  const row = code >> 4;
  if (row === 0x7 || row === 0xd) throw unknown(code, at);
  if (row === 0xe) {
    return code === 0xe0 ? only(2, second + 16, 0) : only(1, code & 15, 0);
  }
  if (row === 0xf) return code === 0xf0 ? only(2, 0, second + 16) : only(1, 0, code & 15);
  if (row === 0xa || row === 0xb) {
    const match = ((code & 7) << 2) + (second & 3) + 3;
    return { size: 3, literals: (code >> 3) & 3, match, distance: (second >> 2) + third * 64 };
  }
  const literals = code >> 6;
  const match = ((code >> 3) & 7) + 3;
  if ((code & 7) === 7) return { size: 3, literals, match, distance: second + third * 256 };
  if ((code & 7) !== 6) return { size: 2, literals, match, distance: (code & 7) * 256 + second };
  if (literals > 0) return { size: 1, literals, match, distance: undefined };
  // Codes without literals that repeat the distance are not needed: two do nothing, one ends, the others do not exist.
  if (code === 0x0e || code === 0x16) return only(1, 0, 0);
  throw unknown(code, at);
}

function only(size: number, literals: number, match: number): Operation {
  return { size, literals, match, distance: undefined };
}

function unknown(code: number, at: number): Error {
  return wrongStream(METHOD, `there is no operation ${code}, which is at ${at}`);
}

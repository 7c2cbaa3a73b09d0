/**
 * ADC, "Apple Data Compression": literals, and copies of what came before, in units of whole bytes.
 *
 * The first bit of a command set: literals, 7 bits of length - 1. Else the second bit set: a copy with 6 bits of length - 4 and two
 * bytes of distance - 1. Else a short copy: 4 bits of length - 3, 10 bits of distance - 1. Source: the descriptions of UDCO images.
 */
import { copyMatch, streamTooLong, streamTooShort, wrongStream } from './errors.ts';

const METHOD = 'ADC';

/**
 * Decompresses what must give exactly as many bytes as fit into `output`. What follows is not looked at.
 *
 * @throws BlockError `corrupt` when the stream is broken, too short or too long
 */
export function decompressAdc(data: Uint8Array, output: Uint8Array): void {
  let at = 0;
  let done = 0;
  while (done < output.length) {
    const command = data[at];
    if (command === undefined) throw streamTooShort(METHOD, done, output.length);
    const [size, length] = shapeOf(command);
    if (at + size > data.length) throw wrongStream(METHOD, `it ends inside a command at ${at}`);
    if (done + length > output.length) throw streamTooLong(METHOD, output.length);
    if (command >= 0x80) output.set(data.subarray(at + 1, at + size), done);
    else copyMatch(METHOD, output, done, distanceOf(data, at, command), length);
    at += size;
    done += length;
  }
}

/** Bytes that a command takes, and that it gives. */
function shapeOf(command: number): [size: number, length: number] {
  if (command >= 0x80) return [1 + (command & 0x7f) + 1, (command & 0x7f) + 1];
  if (command >= 0x40) return [3, (command & 0x3f) + 4];
  return [2, (command >> 2) + 3];
}

function distanceOf(data: Uint8Array, at: number, command: number): number {
  if (command >= 0x40) return data[at + 1]! * 256 + data[at + 2]! + 1;
  return (command & 3) * 256 + data[at + 1]! + 1;
}

import { byteTable } from './byte-table.ts';

const table = byteTable((byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ ((sum & 1) === 1 ? 0xedb88320 : 0);
  return sum;
});

/** CRC-32 as zip and gzip have it. @param before what it was of the bytes so far; default: none */
export function crc32(bytes: Uint8Array, before = 0): number {
  const sums = table();
  let sum = ~before;
  for (let index = 0; index < bytes.length; index++) sum = (sum >>> 8) ^ sums[(sum ^ bytes[index]!) & 0xff]!;
  return ~sum >>> 0;
}

/**
 * The same of that many zeroes, in as many steps as the number has bits: a zero changes the sum by a linear map, which is a matrix of
 * bits, and twice as many zeroes by its square.
 */
export function crc32OfZeroes(count: number, before = 0): number {
  let sum = ~before;
  let map = Uint32Array.from({ length: 32 }, (_, bit) => zeroAfter(2 ** bit));
  for (let rest = count; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) sum = applied(map, sum);
    map = squared(map);
  }
  return ~sum >>> 0;
}

function zeroAfter(sum: number): number {
  return (sum >>> 8) ^ table()[sum & 0xff]!;
}

/** @param map what becomes of each bit */
function applied(map: Uint32Array, bits: number): number {
  let result = 0;
  for (let bit = 0; bit < 32; bit++) if (((bits >>> bit) & 1) === 1) result ^= map[bit]!;
  return result;
}

function squared(map: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  return map.map((bits) => applied(map, bits));
}

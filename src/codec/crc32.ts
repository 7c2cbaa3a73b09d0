const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ ((sum & 1) === 1 ? 0xedb88320 : 0);
  return sum;
});

/** CRC-32 as zip and gzip have it. @param before what it was of the bytes so far; default: none */
export function crc32(bytes: Uint8Array, before = 0): number {
  let sum = ~before;
  for (let index = 0; index < bytes.length; index++) sum = (sum >>> 8) ^ TABLE[(sum ^ bytes[index]!) & 0xff]!;
  return ~sum >>> 0;
}

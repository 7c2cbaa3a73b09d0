/**
 * CRC-32C: the polynomial of Castagnoli, reflected, as in iSCSI, ext4 and VHDX.
 *
 * Source: RFC 3720, section 12.1 and appendix B.4.
 */

const POLYNOMIAL = 0x82f63b78;
/** Bytes that one step takes, with a table for each. */
const STRIDE = 8;

let tables: Uint32Array | undefined;

/** Table n has the checksum of a byte that n zero bytes follow. */
function makeTables(): Uint32Array {
  const made = new Uint32Array(STRIDE * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    made[byte] = value;
  }
  for (let at = 256; at < made.length; at++) {
    const before = made[at - 256]!;
    made[at] = (before >>> 8) ^ made[before & 0xff]!;
  }
  return made;
}

/**
 * @param previous the checksum of what stands before these bytes
 * @returns the checksum of both, 32 bits unsigned
 */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  const table = (tables ??= makeTables());
  let crc = ~previous;
  let at = 0;
  for (const end = bytes.length - (bytes.length % STRIDE); at < end; at += STRIDE) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    crc =
      table[1792 + (low & 0xff)]! ^
      table[1536 + ((low >>> 8) & 0xff)]! ^
      table[1280 + ((low >>> 16) & 0xff)]! ^
      table[1024 + (low >>> 24)]! ^
      table[768 + bytes[at + 4]!]! ^
      table[512 + bytes[at + 5]!]! ^
      table[256 + bytes[at + 6]!]! ^
      table[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ table[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}

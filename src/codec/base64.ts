import { BlockError } from '../block/error.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const VALUES = new Int8Array(128).fill(-1);
for (let value = 0; value < ALPHABET.length; value++) VALUES[ALPHABET.charCodeAt(value)] = value;

/**
 * Decodes base64 with white space between. It ends at the first `=`.
 *
 * @param what for the message: "The property list"
 * @throws BlockError `corrupt` for a letter that is none of base64's. Source: RFC 4648, section 4
 */
export function decodeBase64(text: string, what: string): Uint8Array {
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let done = 0;
  let held = 0;
  let bits = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x3d) break;
    if (code === 0x20 || (code >= 9 && code <= 13)) continue;
    const value = VALUES[code] ?? -1;
    if (value < 0) throw new BlockError('corrupt', `${what} has data that is not base64: '${text[at]}'`);
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[done++] = (held >> bits) & 0xff;
  }
  return bytes.subarray(0, done);
}

import { digest } from './hashes.ts';

/** SHA-256 of some bytes, as 64 hexadecimal digits. Source: FIPS 180-4. */
export function sha256Hex(bytes: Uint8Array): string {
  return Array.from(digest('sha256', bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * GUIDs as Microsoft's and VirtualBox's formats store them: the first three groups with their least significant byte first.
 *
 * Source: MS-DTYP, section 2.3.4.2.
 */

export const GUID_LENGTH = 16;

/** Where the bytes of the text, from the left, are stored. */
const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/** @param bytes 16 of them @returns lower case, in five groups */
export function formatGuid(bytes: Uint8Array): string {
  const hex = ORDER.map((index) => bytes[index]!.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The bytes of a GUID that is written as `formatGuid` writes it. */
export function guidBytes(text: string): Uint8Array {
  const hex = text.replaceAll('-', '');
  const bytes = new Uint8Array(GUID_LENGTH);
  for (const [place, index] of ORDER.entries()) bytes[index] = Number.parseInt(hex.slice(place * 2, place * 2 + 2), 16);
  return bytes;
}

export function randomGuid(): string {
  return crypto.randomUUID();
}

import {
  ADDRESS,
  FORM2,
  MODE,
  MODE1_DATA,
  MODE2_DATA,
  SUBHEADER_FLAGS,
  SUBHEADER_SECOND_FLAGS,
  SYNC,
} from './layout.ts';

/** Whether these bytes begin as a sector of data does. */
export function isSync(bytes: Uint8Array): boolean {
  return bytes.length > SUBHEADER_SECOND_FLAGS && SYNC.every((byte, index) => bytes[index] === byte);
}

/** Where a sector's 2048 bytes are; undefined: it has none. @param sector begins with the pattern */
export function dataOffset(sector: Uint8Array): number | undefined {
  const mode = sector[MODE]! & 3;
  if (mode === 1) return MODE1_DATA;
  if (mode !== 2) return undefined;
  // The flags are there twice; one copy may be damaged.
  const isForm2 = (sector[SUBHEADER_FLAGS]! & sector[SUBHEADER_SECOND_FLAGS]! & FORM2) !== 0;
  return isForm2 ? undefined : MODE2_DATA;
}

/** Number of a sector on the disc: 75 in a second. */
export function addressOf(sector: Uint8Array): number {
  const [minute, second, frame] = [0, 1, 2].map((index) => decimal(sector[ADDRESS + index]!));
  return (minute! * 60 + second!) * 75 + frame!;
}

function decimal(byte: number): number {
  return (byte >> 4) * 10 + (byte & 15);
}

/** Numbers as qemu-io reads and prints them. */
import { looksLikeSize, readInteger, readSize } from '../shared/sizes.ts';
import { CommandError } from './command.ts';

/** QEMU: BDRV_REQUEST_MAX_BYTES, the longest request. */
export const MAX_REQUEST_BYTES = 2_147_483_136;

const SECTOR_BYTES = 512;

/** An offset or a length, with an optional suffix. @throws CommandError */
export function byteCount(text: string): number {
  const value = readSize(text);
  if (value !== undefined) return value;
  throw new CommandError(
    looksLikeSize(text)
      ? `Parsing error: argument too large -- ${text}`
      : `Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- ${text}`,
  );
}

/** A byte that a buffer is filled with: decimal, `0x` or octal. @throws CommandError */
export function patternByte(text: string): number {
  const value = readInteger(text) ?? -1;
  if (value < 0 || value > 255) throw new CommandError(`${text} is not a valid pattern byte`);
  return value;
}

/** @throws CommandError */
export function checkSectors(name: 'offset' | 'count', value: number): void {
  if (value % SECTOR_BYTES !== 0) throw new CommandError(`${value} is not a sector-aligned value for '${name}'`);
}

const UNITS = [' bytes', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB', ' EiB'];

/** A size or a rate: `512 bytes`, `1.500 KiB`, `64 KiB`. */
export function sizeText(value: number): string {
  let power = 0;
  while (power < UNITS.length - 1 && value >= 1024 ** (power + 1)) power++;
  const digits = power === 0 ? 6 : 3;
  return fixed(value / 1024 ** power, digits).replace(/\.0+$/, '') + UNITS[power]!;
}

/** As printf does it: what lies in the middle goes to the even digit. */
function fixed(value: number, digits: number): string {
  const scaled = value * 10 ** digits;
  const below = Math.floor(scaled);
  if (scaled - below !== 0.5 || below % 2 === 1) return value.toFixed(digits);
  return (below / 10 ** digits).toFixed(digits);
}

/** Seconds as `00.01 sec`, or `0:01:02.34` from a minute on and where a machine reads it. */
export function timeText(seconds: number, withHours: boolean): string {
  const whole = Math.floor(seconds);
  const hundredths = pad(Math.floor((seconds - whole) * 100));
  if (!withHours && whole < 60) return `${pad(whole)}.${hundredths} sec`;
  return `${Math.floor(whole / 3600)}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}.${hundredths}`;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}

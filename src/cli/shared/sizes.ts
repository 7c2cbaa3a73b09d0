/** Numbers and sizes as qemu-img reads and prints them. */
import { parseSize } from '../../block/options.ts';
import { Failure } from './failure.ts';

/** What qemu-img takes for the largest of all sizes. Ours end at 2^53. */
const INT64_MAX = 9_223_372_036_854_775_807n;

interface Range {
  readonly min?: number;
  readonly max?: number;
}

/**
 * Reads a size with an optional suffix.
 *
 * @param what what it is, for messages: `image size`
 * @throws Failure in qemu-img's words
 */
export function sizeArgument(what: string, text: string, { min = 0, max }: Range = {}): number {
  const size = readSize(text);
  if (size === undefined && !looksLikeSize(text)) {
    throw new Failure(`Invalid ${what} specified. You may use k, M, G, T, P or E suffixes for`, {
      moreMessages: ['kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.'],
    });
  }
  if (size === undefined || size < min || (max !== undefined && size > max)) {
    throw new Failure(`Invalid ${what} specified. Must be between ${min} and ${max ?? INT64_MAX}.`);
  }
  return size;
}

/** A size as the C library lets it begin: with space, and with a plus sign. @returns undefined for what is none, or too large */
export function readSize(text: string): number | undefined {
  return parseSize(text.replace(/^\s*\+?/, ''));
}

/** Whether it is a size, if one that may be too large. */
export function looksLikeSize(text: string): boolean {
  return /^\s*\+?(\d+(\.\d*)?[kmgtpe]|\d+(\.0*)?b?|0x[0-9a-f]+)$/i.test(text);
}

/** A whole number as the C library reads it: decimal, `0x`, or octal behind a 0. @returns undefined for what is none */
export function readInteger(text: string): number | undefined {
  const match = /^\s*([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.exec(text);
  if (match === null) return undefined;
  const digits = match[2]!;
  const value = /^0[0-7]/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  return match[1] === '-' ? -value : value;
}

const SECTOR_BYTES = 512;

/** What formats say of a size that ends inside a sector. @throws Failure */
export function checkNewSize(format: string, size: number): void {
  if (size % SECTOR_BYTES === 0) return;
  if (format === 'qcow2') throw new Failure(`The new size must be a multiple of ${SECTOR_BYTES}`);
  if (format === 'qed') throw new Failure('Invalid image size specified');
}

const SUFFIXES = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

/** A size for people, with three digits: `1.5 GiB`. The unit goes up at 1000, so that there are never four. */
export function humanSize(bytes: number): string {
  let power = 0;
  while (power < SUFFIXES.length - 1 && bytes / 1024 ** power >= 1000) power++;
  return `${Number((bytes / 1024 ** power).toPrecision(3))} ${SUFFIXES[power]}B`;
}

/**
 * Names in a FAT folder: the short one of eight and three letters, and the long one in front of it.
 *
 * Source: Microsoft, "FAT: General Overview of On-Disk Format", version 1.03, "FAT Directory Structure" and "FAT Long Directory
 * Entries".
 */

const FORBIDDEN = '"*/:<>?\\|';
const SHORT_EXTRA = "!#$%&'()-@^_`{}~";
const MAX_LONG = 255;
export const UNITS_PER_ENTRY = 13;

export interface FatName {
  /** Eleven bytes, filled up with spaces. */
  readonly short: Uint8Array;
  /** Undefined: the short one says it all. */
  readonly long: string | undefined;
}

/** Gives names to what is in one folder, none twice. */
export class FolderNames {
  readonly #long = new Set<string>();
  readonly #short = new Set<string>();

  /** @param name as it is outside */
  give(name: string): FatName {
    const long = this.#uniqueLong(allowedName(name));
    const { base, extension, exact } = shortParts(long);
    const plain = base.padEnd(8) + extension.padEnd(3);
    if (exact && !this.#short.has(plain)) return this.#taken(plain, undefined);
    for (let number = 1; ; number++) {
      const tail = `~${number}`;
      const short = (base.slice(0, 8 - tail.length) + tail).padEnd(8) + extension.padEnd(3);
      if (!this.#short.has(short)) return this.#taken(short, long);
    }
  }

  #taken(short: string, long: string | undefined): FatName {
    this.#short.add(short);
    return { short: Uint8Array.from(short, (letter) => letter.charCodeAt(0)), long };
  }

  /** Names that differ only in case are one to FAT. */
  #uniqueLong(name: string): string {
    let unique = name;
    for (let number = 2; this.#long.has(unique.toUpperCase()); number++) {
      const dot = name.lastIndexOf('.');
      const [base, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
      const tail = ` (${number})${extension}`;
      unique = base.slice(0, MAX_LONG - tail.length) + tail;
    }
    this.#long.add(unique.toUpperCase());
    return unique;
  }
}

/** What FAT cannot have in a name becomes `_`. It has no names that end in a dot or a space. */
function allowedName(name: string): string {
  let allowed = '';
  for (const letter of name) allowed += letter < ' ' || letter === '\x7f' || FORBIDDEN.includes(letter) ? '_' : letter;
  allowed = allowed.slice(0, MAX_LONG).replace(/[. ]+$/, '');
  return allowed === '' ? '_' : allowed;
}

function shortParts(name: string): { base: string; extension: string; exact: boolean } {
  const stripped = name.replace(/^[. ]+/, '');
  const dot = stripped.lastIndexOf('.');
  const [base, extension] = dot > 0 ? [stripped.slice(0, dot), stripped.slice(dot + 1)] : [stripped, ''];
  const short = { base: shortLetters(base).slice(0, 8) || '_', extension: shortLetters(extension).slice(0, 3) };
  const back = short.extension === '' ? short.base : `${short.base}.${short.extension}`;
  return { ...short, exact: back === name };
}

function shortLetters(text: string): string {
  let letters = '';
  for (const letter of text.toUpperCase()) {
    if (letter === ' ' || letter === '.') continue;
    letters += /[A-Z0-9]/.test(letter) || SHORT_EXTRA.includes(letter) ? letter : '_';
  }
  return letters;
}

/** The entries of a long name, the last part first, as they stand before the short one. */
export function longEntries({ short, long }: FatName): Uint8Array {
  if (long === undefined) return new Uint8Array();
  const count = Math.ceil(long.length / UNITS_PER_ENTRY);
  const sum = checksum(short);
  const bytes = new Uint8Array(count * 32);
  for (let part = 0; part < count; part++) {
    const entry = bytes.subarray((count - 1 - part) * 32, (count - part) * 32);
    entry[0] = part + 1 + (part === count - 1 ? 0x40 : 0);
    entry[11] = 0x0f;
    entry[13] = sum;
    for (let unit = 0; unit < UNITS_PER_ENTRY; unit++) {
      const at = part * UNITS_PER_ENTRY + unit;
      // A zero ends it, and what follows is filled with ones.
      const code = at < long.length ? long.charCodeAt(at) : at === long.length ? 0 : 0xffff;
      const place = unit < 5 ? 1 + unit * 2 : unit < 11 ? 14 + (unit - 5) * 2 : 28 + (unit - 11) * 2;
      entry[place] = code & 0xff;
      entry[place + 1] = code >> 8;
    }
  }
  return bytes;
}

function checksum(short: Uint8Array): number {
  let sum = 0;
  for (const byte of short) sum = (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff;
  return sum;
}

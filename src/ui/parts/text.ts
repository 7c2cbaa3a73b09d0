/** Numbers as people read them. */

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes with the unit that keeps them short: `4 MiB`, `1.5 GiB`, `712 bytes`. */
export function size(bytes: number): string {
  let unit = 0;
  let value = bytes;
  // What would be rounded to 1024 of a unit is one of the next.
  while (value >= (unit === 0 ? 1024 : 1023.5) && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  if (unit === 0) return bytes === 1 ? '1 byte' : `${bytes} bytes`;
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${trimZeroes(value.toFixed(digits))} ${UNITS[unit]!}`;
}

/** The short form, and the bytes beside it where the short form hides some: `1.5 GiB (1,610,612,737 bytes)`. */
export function sizeExact(bytes: number): string {
  return bytes < 1024 ? size(bytes) : `${size(bytes)} (${count(bytes)} bytes)`;
}

/** Whole numbers in groups of three. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** An offset as tools print it, and as people read it. */
export function offset(bytes: number): string {
  return `0x${bytes.toString(16)}`;
}

/** One word for one thing, the plural for others: `plural(3, 'read')` is `3 reads`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A share in percent: never 0 % for something, never 100 % for less than all. */
export function percent(part: number, whole: number): string {
  if (whole === 0 || part === 0) return '0 %';
  if (part === whole) return '100 %';
  const value = (part / whole) * 100;
  if (value < 0.1) return 'under 0.1 %';
  return `${Math.min(value, 99.9).toFixed(value < 10 || value > 99 ? 1 : 0)} %`;
}

/** How long ago, in words that are good enough for a list. */
export function ago(thenMs: number, nowMs: number): string {
  const minutes = Math.round((nowMs - thenMs) / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${plural(minutes, 'minute')} ago`;
  const hours = Math.round(minutes / 60);
  if (hours < 36) return `${plural(hours, 'hour')} ago`;
  return `${plural(Math.round(hours / 24), 'day')} ago`;
}

/** The last part of a path or address. */
export function baseName(name: string): string {
  const path = /^https?:/i.test(name) ? name.replace(/[?#].*$/, '') : name;
  const last = path.split(/[/\\]/).findLast((part) => part !== '') ?? name;
  try {
    return decodeURIComponent(last);
  } catch (error) {
    // A stray percent sign is part of the name.
    if (error instanceof URIError) return last;
    throw error;
  }
}

function trimZeroes(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

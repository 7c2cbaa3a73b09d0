/** QEMU's option strings: `driver=qcow2,file.filename=a.img`, with `,,` for a comma inside a value. */
import { Failure } from './failure.ts';

/**
 * Reads an option string. A name that is given twice has its last value; a name without a value is `on`, and one that begins
 * with `no` is `off`.
 *
 * @param first the name of a value that stands first and has none
 * @throws Failure for an empty name
 */
export function parseKeyValues(text: string, first?: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [name, value] of pairs(text, first)) values[name] = value;
  return values;
}

/** The pairs as they stand. @param first as for `parseKeyValues` */
export function pairs(text: string, first?: string): (readonly [name: string, value: string])[] {
  return splitAtCommas(text)
    .filter((part) => part !== '')
    .map((part, index) => {
      if (index === 0 && first !== undefined && !part.includes('=')) return [first, part] as const;
      const equals = part.indexOf('=');
      if (equals === 0) throw new Failure("Invalid parameter ''");
      if (equals > 0) return [part.slice(0, equals), part.slice(equals + 1)] as const;
      return part.startsWith('no') ? ([part.slice(2), 'off'] as const) : ([part, 'on'] as const);
    });
}

function splitAtCommas(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== ',') part += text[at]!;
    else if (text[at + 1] === ',') {
      part += ',';
      at++;
    } else {
      parts.push(part);
      part = '';
    }
  }
  parts.push(part);
  return parts;
}

/** Whether an option string asks for help instead of giving values. */
export function asksForHelp(text: string): boolean {
  return splitAtCommas(text).some((part) => part === 'help' || part === '?');
}

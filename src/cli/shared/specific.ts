/** What only one format says of its images, as QEMU's tools print it for people. */
import type { ImageInfo } from '../../node/index.ts';
import { orderedEntries } from './json.ts';

/** Drivers that QEMU's tools ask in vain for clusters and for how an image was closed. */
export const DRIVERS_WITHOUT_INFO: ReadonlySet<unknown> = new Set([
  'parallels',
  'bochs',
  'cloop',
  'dmg',
  'null-co',
  'vvfat',
]);

/** No lines for a format that has nothing to say. */
export function specificLines(found: ImageInfo): string[] {
  const specific = found['format-specific'];
  return specific === undefined ? [] : ['Format specific information:', ...nestedLines(specific.data, '    ')];
}

/** Plain data, one fact a line. Names are shown with spaces for their dashes. */
function nestedLines(value: object, indent: string): string[] {
  const entries = Array.isArray(value)
    ? value.map((member: unknown, index) => [`[${index}]`, member] as const)
    : orderedEntries(value as Readonly<Record<string, unknown>>).map(
        ([key, member]) => [key.replaceAll('-', ' '), member] as const,
      );
  return entries.flatMap(([name, member]) =>
    typeof member === 'object' && member !== null
      ? [`${indent}${name}:`, ...nestedLines(member, `${indent}    `)]
      : [`${indent}${name}: ${String(member)}`],
  );
}

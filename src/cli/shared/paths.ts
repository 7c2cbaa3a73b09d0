/** Names beside one another, put together as QEMU does: as text, so that they are shown as they were written. */

const PROTOCOL = /^[a-z][a-z0-9+.-]+:/i;

/** The name of a file that is named inside another. Absolute names and those of a protocol stay as they are. */
export function beside(from: string, name: string): string {
  if (name.startsWith('/') || PROTOCOL.test(name)) return name;
  return from.slice(0, from.lastIndexOf('/') + 1) + name;
}
